"""What the longest examples print in their smoke form, which the suite runs by default in place of the whole."""

PRINTED = {
    "17_what_the_pendulum_wants": """
5 swings of 20 steps in 81 cells
angle²     learned  -1.1350 ± 0.2373   true  -1.000
speed²     learned  -0.1103 ± 0.0222   true  -0.100
torque²    learned   0.0008 ± 0.0662   true  -0.001
the policy of the demonstrator    earns   -74.6 ± 74.4 on the real pendulum
the policy of the learned reward  earns   -74.1 ± 73.9 on the real pendulum
the policy of no reward           earns  -105.3 ± 62.7 on the real pendulum
""",
    "23_options": """
one policy for all times          3.2684 nats
two options: auxiliary bound      3.2895
    the same by Trace_ELBO       3.216 ± 0.034
    marginal ELBO                3.326 ± 0.053
log p(O)                         15.8351
""",
    "27_a_program_by_hand": """
sites: state_0, action_0, state_1, action_1 …
free blocks: ('initial', 'dynamics') ()
           true return     delusion  imagined return          ELBO   KL of policy  KL of dynamics      ESS
              [reward]     [reward]         [reward]        [nats]         [nats]          [nats]  [draws]
────────  ────────────  ───────────  ───────────────  ────────────  ─────────────  ──────────────  ───────
free      -4.21 ± 0.14  2.47 ± 0.14   -1.739 ± 0.041  -2.76773 ± 0  0.245 ± 0.028   0.784 ± 0.042      500
clamped   -3.55 ± 0.10  0.08 ± 0.14   -3.473 ± 0.099  -4.32 ± 0.12  0.847 ± 0.048           0 ± 0       18
Gaussian  -5.61 ± 0.24  3.91 ± 0.24   -1.697 ± 0.033  -6.93 ± 0.13              –               –       21
────────  ────────────  ───────────  ───────────────  ────────────  ─────────────  ──────────────  ───────
log p(O) is at least each ELBO, and not known here; estimates ± standard error, from 500 draws
1000 particles of the clamped guide: IWAE -2.762, SMC -2.717 nats
""",
    "29_the_ledge": """
                    ELBO   imagined return  true return  steps in the pit
free                -17.32             -1.05       -11.96              0.18
β = .3              -19.38             -1.54        -5.00              0.07
clamped             -23.69             -2.23        -2.23              0.01
free, Gaussian      -78.68            -30.25       -39.59              0.00
clamped, Gaussian   -83.68            -32.00       -29.03              0.00
clamped, iLQG       -39.79            -10.60        -6.51              0.11
""",
    "30_whose_hand": """
 hand   wind |    log p(O)  imagined     true |  clamped ELBO     true
 0.60   0.20 |    -17.3383   -1.0347  -15.822 |       -25.575   -2.551
 0.40   0.40 |    -17.3323   -1.0290  -42.636 |       -38.687   -4.686
""",
    "37_collapse": """
near end pays      τ   optimum   mean return   runs at the near end   at the far end
          0.2      0     1.000         0.182                     40                0
          0.2   0.02     1.000         0.181                     40                0
          0.2   0.05     1.000         0.179                     40                0
          0.5      0     1.000         0.479                     40                0
          0.5   0.02     1.000         0.477                     40                0
          0.5   0.05     0.999         0.473                     40                0
""",
    "41_plans_on_the_ledge": """
MPPI                    return   steps in the pit   effective plans
one draw           -9.77 ± 6.62              0.143               1.0
mean of 16 draws  -25.46 ± 10.53              0.397               1.0
""",
}
