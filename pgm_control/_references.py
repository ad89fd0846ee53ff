"""The sources that docstrings cite by key."""

REFERENCES = {
    "howard1972": (
        "R. A. Howard and J. E. Matheson. Risk-sensitive Markov decision processes. "
        "Management Science 18(7), 356–369, 1972."
    ),
    "kappen2012": (
        "H. J. Kappen, V. Gómez and M. Opper. Optimal control as a graphical model inference problem. "
        "Machine Learning 87, 159–182, 2012. arXiv:0901.0633."
    ),
    "levine2018": (
        "S. Levine. Reinforcement learning and control as probabilistic inference: tutorial and review. "
        "arXiv:1805.00909, 2018."
    ),
    "todorov2008": (
        "E. Todorov. General duality between optimal control and estimation. "
        "IEEE Conference on Decision and Control, 4286–4292, 2008."
    ),
    "ziebart2010": (
        "B. D. Ziebart. Modeling purposeful adaptive behavior with the principle of maximum causal entropy. "
        "PhD thesis, Carnegie Mellon University, 2010."
    ),
}
