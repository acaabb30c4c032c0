"""The run folder: one writer, one reader, and which runs are the seeds of one method.

Takes settings, numbers and samples; returns them as they were written, by this version or an older one. Must not know
how models are trained, sampled or scored.
"""
