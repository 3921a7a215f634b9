#!/usr/bin/env python3
# Tests of the comparison: python3 -m unittest discover -t scripts -s scripts/comparing/tests
