"""Many runs as one question: tasks x methods x settings x seeds, trained side by side, answered on one page.

Takes a study file; gives run folders, `study.json` and `report.html`. Must not do anything within a run that `phf train`
cannot.
"""
