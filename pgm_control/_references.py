"""The sources that docstrings cite by key."""

REFERENCES = {
    "abdolmaleki2018": (
        "A. Abdolmaleki, J. T. Springenberg, Y. Tassa, R. Munos, N. Heess and M. Riedmiller. "
        "Maximum a posteriori policy optimisation. "
        "International Conference on Learning Representations, 2018. arXiv:1806.06920."
    ),
    "anderson1965": (
        "D. G. Anderson. Iterative procedures for nonlinear integral equations. "
        "Journal of the ACM 12(4), 547–560, 1965."
    ),
    "andrieu2010": (
        "C. Andrieu, A. Doucet and R. Holenstein. Particle Markov chain Monte Carlo methods. "
        "Journal of the Royal Statistical Society B 72(3), 269–342, 2010."
    ),
    "arriojas2023": (
        "A. Arriojas, J. Adamczyk, S. Tiomkin and R. V. Kulkarni. Bayesian inference approach for entropy regularized "
        "reinforcement learning with stochastic dynamics. "
        "Conference on Uncertainty in Artificial Intelligence, PMLR 216, 99–109, 2023."
    ),
    "brandfonbrener2022": (
        "D. Brandfonbrener, A. Bietti, J. Buckman, R. Laroche and J. Bruna. When does return-conditioned supervised "
        "learning work for offline reinforcement learning? "
        "Advances in Neural Information Processing Systems 35, 2022. arXiv:2206.01079."
    ),
    "burda2016": (
        "Y. Burda, R. Grosse and R. Salakhutdinov. Importance weighted autoencoders. "
        "International Conference on Learning Representations, 2016. arXiv:1509.00519."
    ),
    "byrd1994": (
        "R. H. Byrd, J. Nocedal and R. B. Schnabel. Representations of quasi-Newton matrices and their use in limited "
        "memory methods. Mathematical Programming 63, 129–156, 1994."
    ),
    "cao2021": (
        "H. Cao, S. N. Cohen and Ł. Szpruch. Identifiability in inverse reinforcement learning. "
        "Advances in Neural Information Processing Systems 34, 2021. arXiv:2106.03498."
    ),
    "christodoulou2019": "P. Christodoulou. Soft actor-critic for discrete action settings. arXiv:1910.07207, 2019.",
    "cremer2017": (
        "C. Cremer, Q. Morris and D. Duvenaud. Reinterpreting importance-weighted autoencoders. "
        "International Conference on Learning Representations, workshop, 2017. arXiv:1704.02916."
    ),
    "delmoral2006": (
        "P. Del Moral, A. Doucet and A. Jasra. Sequential Monte Carlo samplers. "
        "Journal of the Royal Statistical Society B 68(3), 411–436, 2006."
    ),
    "dolatabadi2020": (
        "H. M. Dolatabadi, S. Erfani and C. Leckie. Invertible generative modeling using linear rational splines. "
        "International Conference on Artificial Intelligence and Statistics, PMLR 108, 2020. arXiv:2001.05168."
    ),
    "doucet2001": (
        "A. Doucet, N. de Freitas and N. Gordon (editors). Sequential Monte Carlo Methods in Practice. Springer, 2001."
    ),
    "durkan2019": (
        "C. Durkan, A. Bekasov, I. Murray and G. Papamakarios. Neural spline flows. "
        "Advances in Neural Information Processing Systems 32, 2019. arXiv:1906.04032."
    ),
    "finn2016": (
        "C. Finn, S. Levine and P. Abbeel. Guided cost learning: deep inverse optimal control via policy optimization. "
        "International Conference on Machine Learning, PMLR 48, 49–58, 2016. arXiv:1603.00448."
    ),
    "fujimoto2018": (
        "S. Fujimoto, H. van Hoof and D. Meger. Addressing function approximation error in actor-critic methods. "
        "International Conference on Machine Learning, PMLR 80, 1587–1596, 2018. arXiv:1802.09477."
    ),
    "geist2018": (
        "M. Geist and B. Scherrer. Anderson acceleration for reinforcement learning. "
        "European Workshop on Reinforcement Learning, 2018. arXiv:1809.09501."
    ),
    "geist2019": (
        "M. Geist, B. Scherrer and O. Pietquin. A theory of regularized Markov decision processes. "
        "International Conference on Machine Learning, PMLR 97, 2160–2169, 2019. arXiv:1901.11275."
    ),
    "gleave2022": (
        "A. Gleave and S. Toyer. A primer on maximum causal entropy inverse reinforcement learning. "
        "arXiv:2203.11409, 2022."
    ),
    "haarnoja2017": (
        "T. Haarnoja, H. Tang, P. Abbeel and S. Levine. Reinforcement learning with deep energy-based policies. "
        "International Conference on Machine Learning, PMLR 70, 1352–1361, 2017. arXiv:1702.08165."
    ),
    "haarnoja2018": (
        "T. Haarnoja, A. Zhou, P. Abbeel and S. Levine. Soft actor-critic: off-policy maximum entropy deep "
        "reinforcement learning with a stochastic actor. "
        "International Conference on Machine Learning, PMLR 80, 1861–1870, 2018. arXiv:1801.01290."
    ),
    "haarnoja2018b": (
        "T. Haarnoja, A. Zhou, K. Hartikainen, G. Tucker, S. Ha, J. Tan, V. Kumar, H. Zhu, A. Gupta, P. Abbeel and "
        "S. Levine. Soft actor-critic algorithms and applications. arXiv:1812.05905, 2018."
    ),
    "hoffman2014": (
        "M. D. Hoffman and A. Gelman. The No-U-Turn sampler: adaptively setting path lengths in Hamiltonian Monte "
        "Carlo. Journal of Machine Learning Research 15, 1593–1623, 2014."
    ),
    "howard1972": (
        "R. A. Howard and J. E. Matheson. Risk-sensitive Markov decision processes. "
        "Management Science 18(7), 356–369, 1972."
    ),
    "jaakkola1998": (
        "T. S. Jaakkola and M. I. Jordan. Improving the mean field approximation via the use of mixture distributions. "
        "In M. I. Jordan (editor), Learning in Graphical Models, 163–173. Kluwer, 1998."
    ),
    "kaelbling1998": (
        "L. P. Kaelbling, M. L. Littman and A. R. Cassandra. Planning and acting in partially observable stochastic "
        "domains. Artificial Intelligence 101(1–2), 99–134, 1998."
    ),
    "kakade2001": (
        "S. M. Kakade. A natural policy gradient. "
        "Advances in Neural Information Processing Systems 14, 1531–1538, 2001."
    ),
    "kappen2012": (
        "H. J. Kappen, V. Gómez and M. Opper. Optimal control as a graphical model inference problem. "
        "Machine Learning 87, 159–182, 2012. arXiv:0901.0633."
    ),
    "kass1995": (
        "R. E. Kass and A. E. Raftery. Bayes factors. "
        "Journal of the American Statistical Association 90(430), 773–795, 1995."
    ),
    "kitagawa1996": (
        "G. Kitagawa. Monte Carlo filter and smoother for non-Gaussian nonlinear state space models. "
        "Journal of Computational and Graphical Statistics 5(1), 1–25, 1996."
    ),
    "kingma2015": (
        "D. P. Kingma and J. Ba. Adam: a method for stochastic optimization. "
        "International Conference on Learning Representations, 2015. arXiv:1412.6980."
    ),
    "lazaro2024": (
        "M. Lázaro-Gredilla, L. Y. Ku, K. P. Murphy and D. George. What type of inference is planning? "
        "Advances in Neural Information Processing Systems 37, 2024. arXiv:2406.17863."
    ),
    "le2018": (
        "T. A. Le, M. Igl, T. Rainforth, T. Jin and F. Wood. Auto-encoding sequential Monte Carlo. "
        "International Conference on Learning Representations, 2018. arXiv:1705.10306."
    ),
    "lee2018": (
        "A. Lee and N. Whiteley. Variance estimation in the particle filter. Biometrika 105(3), 609–625, 2018."
    ),
    "levine2018": (
        "S. Levine. Reinforcement learning and control as probabilistic inference: tutorial and review. "
        "arXiv:1805.00909, 2018."
    ),
    "li2016": (
        "Y. Li and R. E. Turner. Rényi divergence variational inference. "
        "Advances in Neural Information Processing Systems 29, 2016. arXiv:1602.02311."
    ),
    "littman1994": (
        "M. L. Littman. Memoryless policies: theoretical limitations and practical results. "
        "From Animals to Animats 3, 238–245. MIT Press, 1994."
    ),
    "liu2016": (
        "Q. Liu and D. Wang. Stein variational gradient descent: a general purpose Bayesian inference algorithm. "
        "Advances in Neural Information Processing Systems 29, 2016. arXiv:1608.04471."
    ),
    "macqueen1966": (
        "J. MacQueen. A modified dynamic programming method for Markovian decision problems. "
        "Journal of Mathematical Analysis and Applications 14(1), 38–43, 1966."
    ),
    "maddison2017": (
        "C. J. Maddison, D. Lawson, G. Tucker, N. Heess, M. Norouzi, A. Mnih, A. Doucet and Y. W. Teh. "
        "Filtering variational objectives. "
        "Advances in Neural Information Processing Systems 30, 2017. arXiv:1705.09279."
    ),
    "naesseth2018": (
        "C. A. Naesseth, S. W. Linderman, R. Ranganath and D. M. Blei. Variational sequential Monte Carlo. "
        "International Conference on Artificial Intelligence and Statistics, PMLR 84, 2018. arXiv:1705.11140."
    ),
    "neal1998": (
        "R. M. Neal and G. E. Hinton. A view of the EM algorithm that justifies incremental, sparse, and other "
        "variants. Learning in Graphical Models, 355–368. Kluwer, 1998."
    ),
    "neal2011": (
        "R. M. Neal. MCMC using Hamiltonian dynamics. Handbook of Markov Chain Monte Carlo, chapter 5. "
        "Chapman & Hall/CRC, 2011. arXiv:1206.1901."
    ),
    "ng1999": (
        "A. Y. Ng, D. Harada and S. Russell. Policy invariance under reward transformations: theory and application to "
        "reward shaping. International Conference on Machine Learning, 278–287, 1999."
    ),
    "odoni1969": (
        "A. R. Odoni. On finding the maximal gain for Markov decision processes. "
        "Operations Research 17(5), 857–860, 1969."
    ),
    "paster2022": (
        "K. Paster, S. McIlraith and J. Ba. You can't count on luck: why decision transformers and RvS fail in "
        "stochastic environments. Advances in Neural Information Processing Systems 35, 2022. arXiv:2205.15967."
    ),
    "piche2019": (
        "A. Piché, V. Thomas, C. Ibrahim, Y. Bengio and C. Pal. Probabilistic planning with sequential Monte Carlo "
        "methods. International Conference on Learning Representations, 2019."
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
    "ramachandran2007": (
        "D. Ramachandran and E. Amir. Bayesian inverse reinforcement learning. "
        "International Joint Conference on Artificial Intelligence, 2586–2591, 2007."
    ),
    "rockafellar2002": (
        "R. T. Rockafellar and S. Uryasev. Conditional value-at-risk for general loss distributions. "
        "Journal of Banking & Finance 26(7), 1443–1471, 2002."
    ),
    "schweitzer1971": (
        "P. J. Schweitzer. Iterative solution of the functional equations of undiscounted Markov renewal programming. "
        "Journal of Mathematical Analysis and Applications 34(3), 495–501, 1971."
    ),
    "sobel1982": (
        "M. J. Sobel. The variance of discounted Markov decision processes. "
        "Journal of Applied Probability 19(4), 794–802, 1982."
    ),
    "strens2000": (
        "M. Strens. A Bayesian framework for reinforcement learning. "
        "International Conference on Machine Learning, 943–950, 2000."
    ),
    "sutton2000": (
        "R. S. Sutton, D. McAllester, S. Singh and Y. Mansour. Policy gradient methods for reinforcement learning with "
        "function approximation. Advances in Neural Information Processing Systems 12, 1057–1063, 2000."
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
    "varian1975": (
        "H. R. Varian. A Bayesian approach to real estate assessment. "
        "Studies in Bayesian Econometrics and Statistics in Honor of Leonard J. Savage, 195–208. North-Holland, 1975."
    ),
    "wainwright2008": (
        "M. J. Wainwright and M. I. Jordan. Graphical models, exponential families, and variational inference. "
        "Foundations and Trends in Machine Learning 1(1–2), 1–305, 2008."
    ),
    "wang2016": (
        "D. Wang and Q. Liu. Learning to draw samples: with application to amortized MLE for generative adversarial "
        "learning. arXiv:1611.01722, 2016."
    ),
    "wielandt1950": (
        "H. Wielandt. Unzerlegbare, nicht negative Matrizen. Mathematische Zeitschrift 52, 642–648, 1950."
    ),
    "williams1992": (
        "R. J. Williams. Simple statistical gradient-following algorithms for connectionist reinforcement learning. "
        "Machine Learning 8, 229–256, 1992."
    ),
    "yang2023": (
        "M. Yang, D. Schuurmans, P. Abbeel and O. Nachum. Dichotomy of control: separating what you can control from "
        "what you cannot. International Conference on Learning Representations, 2023. arXiv:2210.13435."
    ),
    "ziebart2008": (
        "B. D. Ziebart, A. Maas, J. A. Bagnell and A. K. Dey. Maximum entropy inverse reinforcement learning. "
        "AAAI Conference on Artificial Intelligence, 1433–1438, 2008."
    ),
    "ziebart2010": (
        "B. D. Ziebart. Modeling purposeful adaptive behavior with the principle of maximum causal entropy. "
        "PhD thesis, Carnegie Mellon University, 2010."
    ),
}
