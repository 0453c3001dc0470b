# As epalm_nocaps.py, but a file for the server about the 10,600 test images, whose captions are not public:
#   data/nocaps/{nocaps_test_image_info.json, test/…}
_base_ = './epalm_nocaps.py'
test_dataloader = dict(dataset=dict(ann_file='nocaps_test_image_info.json', data_prefix=dict(media='test')))
test_evaluator = dict(_delete_=True, type='CaptionSubmission', out_file='work_dirs/nocaps_test_captions.json')
