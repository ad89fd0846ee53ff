"""The sources that docstrings cite by key."""

REFERENCES = {
    "anderson1965": (
        "D. G. Anderson. Iterative procedures for nonlinear integral equations. "
        "Journal of the ACM 12(4), 547–560, 1965."
    ),
    "geist2018": (
        "M. Geist and B. Scherrer. Anderson acceleration for reinforcement learning. "
        "European Workshop on Reinforcement Learning, 2018. arXiv:1809.09501."
    ),
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
    "macqueen1966": (
        "J. MacQueen. A modified dynamic programming method for Markovian decision problems. "
        "Journal of Mathematical Analysis and Applications 14(1), 38–43, 1966."
    ),
    "odoni1969": (
        "A. R. Odoni. On finding the maximal gain for Markov decision processes. "
        "Operations Research 17(5), 857–860, 1969."
    ),
    "porteus1971": (
        "E. L. Porteus. Some bounds for discounted sequential decision processes. Management Science 18(1), 7–11, 1971."
    ),
    "puterman1978": (
        "M. L. Puterman and M. C. Shin. Modified policy iteration algorithms for discounted Markov decision problems. "
        "Management Science 24(11), 1127–1137, 1978."
    ),
    "puterman1994": (
        "M. L. Puterman. Markov Decision Processes: Discrete Stochastic Dynamic Programming. Wiley, 1994."
    ),
    "schweitzer1971": (
        "P. J. Schweitzer. Iterative solution of the functional equations of undiscounted Markov renewal programming. "
        "Journal of Mathematical Analysis and Applications 34(3), 495–501, 1971."
    ),
    "tarjan1972": (
        "R. Tarjan. Depth-first search and linear graph algorithms. SIAM Journal on Computing 1(2), 146–160, 1972."
    ),
    "todorov2007": (
        "E. Todorov. Linearly-solvable Markov decision problems. "
        "Advances in Neural Information Processing Systems 19, 1369–1376, 2007."
    ),
    "todorov2008": (
        "E. Todorov. General duality between optimal control and estimation. "
        "IEEE Conference on Decision and Control, 4286–4292, 2008."
    ),
    "wielandt1950": (
        "H. Wielandt. Unzerlegbare, nicht negative Matrizen. Mathematische Zeitschrift 52, 642–648, 1950."
    ),
    "ziebart2010": (
        "B. D. Ziebart. Modeling purposeful adaptive behavior with the principle of maximum causal entropy. "
        "PhD thesis, Carnegie Mellon University, 2010."
    ),
}
