"""The run folder: one writer, one reader, and which runs are the seeds of one method.

Takes settings, numbers and samples; gives them back as they were written, by this version or an older one. May not know
how models are trained, sampled or scored.
"""
