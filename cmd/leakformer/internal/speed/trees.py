"""Boosted trees of scikit-learn on the figures that leakformer's trees learn from.

Reads commands on standard input, one a line, and answers each with a line: how long
it took, in seconds of the clock and of the processor, and a 0.

  fit TABLE          as many trees as ours, as deep, at the same rate and with the same pull to 0
  predict TABLE OUT  writes their answers for its rows, 64 bits each

A TABLE has rows of 64-bit numbers: how many there are in a row, in the first; then of
each example whether it leaks, its weight, and its figures.
"""
import os
import sys
import time

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that spin where others want to compute take minutes
import numpy
from sklearn.ensemble import HistGradientBoostingClassifier


def read(path):
    numbers = numpy.fromfile(path, "<f8")
    rows = numbers[1:].reshape(-1, int(numbers[0]))
    return rows[:, 0] > 0, rows[:, 1], rows[:, 2:]


tables, trees = {}, None
for line in sys.stdin:
    command, *words = line.split()
    if words[0] not in tables:
        tables[words[0]] = read(words[0])
    leak, weights, figures = tables[words[0]]
    start, busy = time.time(), time.process_time()
    if command == "fit":
        trees = HistGradientBoostingClassifier(
            max_iter=400, max_depth=5, max_leaf_nodes=None, learning_rate=0.05, l2_regularization=30.0, max_bins=64, early_stopping=False
        ).fit(figures, leak, weights)
    else:
        trees.decision_function(figures).tofile(words[1])
    print(time.time() - start, time.process_time() - busy, 0, flush=True)
