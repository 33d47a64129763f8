"""The command line: one module a verb, none of which loads anything heavy before it runs."""
