"""Looking back at runs, models and data: what the tools of ``tools/analysis_tools`` stand on."""
