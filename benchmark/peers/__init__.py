"""What people would otherwise use: each a program of its own, with an environment of its own.

`benchmark.comparison` makes the environments from the requirements beside each program, and runs
it with the path of a job (`benchmark.job.Job.document`).
"""
