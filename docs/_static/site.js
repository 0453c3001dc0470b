// Opened as files, pages may not read each other: the search then shows titles without the texts around the words.
if (location.protocol === 'file:') DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
