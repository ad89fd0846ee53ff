"""The sources that docstrings cite by key."""

REFERENCES = {
    "geist2019": (
        "M. Geist, B. Scherrer and O. Pietquin. A theory of regularized Markov decision processes. "
        "International Conference on Machine Learning, PMLR 97, 2160–2169, 2019. arXiv:1901.11275."
    ),
    "haarnoja2018": (
        "T. Haarnoja, A. Zhou, P. Abbeel and S. Levine. Soft actor-critic: off-policy maximum entropy deep "
        "reinforcement learning with a stochastic actor. "
        "International Conference on Machine Learning, PMLR 80, 1861–1870, 2018. arXiv:1801.01290."
    ),
    "howard1972": (
        "R. A. Howard and J. E. Matheson. Risk-sensitive Markov decision processes. "
        "Management Science 18(7), 356–369, 1972."
    ),
    "kakade2001": (
        "S. M. Kakade. A natural policy gradient. "
        "Advances in Neural Information Processing Systems 14, 1531–1538, 2001."
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
