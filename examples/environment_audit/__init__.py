"""Takes stock of the Python environment it runs in, with functions wired into a graph.

What is found is saved as typed rows, and the run that found it is read back as models, both from
one file. `python -m examples.environment_audit [FILE]`, where FILE is environment.db if not given.
"""
