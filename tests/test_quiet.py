"""What is hushed stays hushed, and nothing after it."""

import logging

import pytest
from mmengine.logging import MMLogger, print_log

from vlpeft.quiet import no_info_logs


@pytest.mark.parametrize('seen_before', [True, False])
def test_only_what_is_said_inside_and_is_no_warning_is_dropped(logged, seen_before):
    MMLogger.get_current_instance().setLevel('INFO')  # Also forgets which levels were asked for.
    if seen_before:
        print_log('first', 'current', logging.INFO)
    with no_info_logs():
        with no_info_logs():
            print_log('a weight', 'current', logging.INFO)
        print_log('another weight', 'current', logging.INFO)
        print_log('a fault', 'current', logging.WARNING)
    print_log('last', 'current', logging.INFO)
    assert [record.getMessage() for record in logged] == ['first', 'a fault', 'last'][not seen_before :]
