/* Value iteration without a horizon: events of W outcomes, r(s, a), hard or soft maximum, bounds of the change on the way.

   REAL is the type of p, r and V; rows are (state, action, outcome). Sums are in REAL. */
#include "lanes.h"
#include <stdlib.h>

#ifndef REAL
#define REAL double
#endif
#ifndef W
#define W 5
#endif
#define BLOCK 256

typedef struct { double lowest, highest; } Bounds;

INLINE REAL mean(const REAL *restrict p, const int32_t *restrict next, const REAL *restrict v, size_t row) {
    REAL sum = 0;
    for (int k = 0; k < W; k++) sum += p[row * W + k] * v[next[row * W + k]];
    return sum;
}

/* One sweep; tau 0 is the hard maximum, whose first action is kept in `best` if that is there. */
static Bounds sweep(int threads, int S, double discount, double tau, const REAL *restrict p, const int32_t *restrict next,
                    const REAL *restrict r, const REAL *restrict v, REAL *restrict out, uint8_t *restrict best) {
    double lowest = INFINITY, highest = -INFINITY;
    const double inverse = tau > 0 ? 1.0 / tau : 0.0;
    const REAL gamma = (REAL)discount;
    _Pragma("omp parallel for num_threads(threads) reduction(min : lowest) reduction(max : highest) if (threads > 1)")
    for (int first = 0; first < S; first += BLOCK) {
        const int n = S - first < BLOCK ? S - first : BLOCK;
        if (tau > 0) {
            REAL q[A][BLOCK];
            for (int i = 0; i < n; i++)
                for (int a = 0; a < A; a++) {
                    const size_t row = (size_t)(first + i) * A + a;
                    q[a][i] = r[row] + gamma * mean(p, next, v, row);
                }
            EACH for (int i = 0; i < n; i++) {
                double x0 = q[0][i], x1 = q[1][i], x2 = q[2][i], x3 = q[3][i];
                double top = larger(larger(x0, x1), larger(x2, x3));
                double sum = vexp(larger((x0 - top) * inverse, LOWEST)) + vexp(larger((x1 - top) * inverse, LOWEST)) +
                             vexp(larger((x2 - top) * inverse, LOWEST)) + vexp(larger((x3 - top) * inverse, LOWEST));
                out[first + i] = (REAL)(top + tau * (vlog(sum) - 1.3862943611198906)); /* log 4: a uniform prior */
            }
        } else
            for (int i = 0; i < n; i++) {
                const size_t row = (size_t)(first + i) * A;
                REAL top = r[row] + gamma * mean(p, next, v, row);
                uint8_t which = 0;
                for (int a = 1; a < A; a++) {
                    REAL x = r[row + a] + gamma * mean(p, next, v, row + a);
                    which = x > top ? a : which;
                    top = x > top ? x : top;
                }
                out[first + i] = top;
                if (best) best[first + i] = which;
            }
        for (int i = 0; i < n; i++) {
            double change = out[first + i] - v[first + i];
            lowest = smaller(lowest, change);
            highest = larger(highest, change);
        }
    }
    return (Bounds){lowest, highest};
}

/* One sweep from v to out, for timing. */
void once(int threads, int S, double discount, double tau, const REAL *p, const int32_t *next, const REAL *r, const REAL *v,
          REAL *out, double *bounds) {
    Bounds found = sweep(threads, S, discount, tau, p, next, r, v, out, NULL);
    bounds[0] = found.lowest;
    bounds[1] = found.highest;
}

/* The rows of a policy side by side, so that what follows it reads no others. */
typedef struct { REAL *p, *r; int32_t *next; } Chosen;

static void choose(int threads, int S, const REAL *restrict p, const int32_t *restrict next, const REAL *restrict r,
                   const uint8_t *restrict best, Chosen to) {
    _Pragma("omp parallel for num_threads(threads) if (threads > 1)")
    for (int s = 0; s < S; s++) {
        const size_t row = (size_t)s * A + best[s];
        to.r[s] = r[row];
        for (int k = 0; k < W; k++) {
            to.p[(size_t)s * W + k] = p[row * W + k];
            to.next[(size_t)s * W + k] = next[row * W + k];
        }
    }
}

static void follow(int threads, int S, double discount, Chosen by, const REAL *restrict v, REAL *restrict out) {
    const REAL gamma = (REAL)discount;
    _Pragma("omp parallel for num_threads(threads) if (threads > 1)")
    for (int s = 0; s < S; s++) out[s] = by.r[s] + gamma * mean(by.p, by.next, v, s);
}

/* Until the span of a sweep's change bounds the error of the midpoint by `tolerance`; gives the number of sweeps over all
   actions, or -1. `evaluations` sweeps follow the policy in between: 0 is value iteration. V starts at and ends in `v`. */
int iterate(int threads, int S, double discount, double tau, double tolerance, int evaluations, int limit, const REAL *p,
            const int32_t *next, const REAL *r, REAL *v) {
    REAL *a = v, *b = malloc(sizeof(REAL) * S);
    uint8_t *best = evaluations ? malloc(S) : NULL;
    Chosen chosen = {0};
    int sweeps = 0, done = 0;
    if (evaluations) chosen = (Chosen){malloc(sizeof(REAL) * S * W), malloc(sizeof(REAL) * S), malloc(sizeof(int32_t) * S * W)};
    if (!b || (evaluations && !(best && chosen.p && chosen.r && chosen.next))) return -1;
    while (!done && sweeps < limit) {
        Bounds change = sweep(threads, S, discount, tau, p, next, r, a, b, best);
        const double factor = discount / (1.0 - discount);
        REAL *kept = a;
        a = b;
        b = kept;
        sweeps++;
        done = factor * (change.highest - change.lowest) / 2 <= tolerance;
        if (done)
            for (int s = 0; s < S; s++) a[s] += (REAL)(factor * (change.highest + change.lowest) / 2);
        if (evaluations && !done) choose(threads, S, p, next, r, best, chosen);
        for (int e = 0; e < evaluations && !done; e++) {
            follow(threads, S, discount, chosen, a, b);
            kept = a;
            a = b;
            b = kept;
        }
    }
    if (a != v) memcpy(v, a, sizeof(REAL) * S);
    free(a == v ? b : a);
    free(best);
    free(chosen.p);
    free(chosen.r);
    free(chosen.next);
    return done ? sweeps : -1;
}
