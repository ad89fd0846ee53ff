/* As finite.c, for many settings of one MDP: 8 of them in the lanes of a register, setting index fastest.

   `tau`, `beta` (settings); `reward` (block, S, A, K, 8); out: `q` (block, T, S, A, 8), `v` (block, T + 1, S, 8),
   `objective` (settings), `gradient` (block, S, A, K, 8). */
#include "lanes.h"
#include <stdlib.h>

#define L 8

INLINE double outcome_value(int row, int b, const int32_t *successor, const double *reward, const double *ahead, double inverse) {
    return reward[row * L + b] * inverse + ahead[successor[row] * L + b];
}

/* Q(s, a) in nats and the shares of its outcomes; the mean and p themselves if `mean` is 1. */
INLINE Row event(int row, int b, const int32_t *successor, const double *p, const double *log_p, const double *reward,
               const double *ahead, double inverse, double tilt, double untilt, double mean) {
    row *= K;
    double y0 = outcome_value(row, b, successor, reward, ahead, inverse), y1 = outcome_value(row + 1, b, successor, reward, ahead, inverse);
    double y2 = outcome_value(row + 2, b, successor, reward, ahead, inverse);
    double average = p[row] * y0 + p[row + 1] * y1 + p[row + 2] * y2;
    Row soft = soft3(tilt * y0 + log_p[row], tilt * y1 + log_p[row + 1], tilt * y2 + log_p[row + 2]);
    soft.x = mean > 0 ? average : untilt * soft.x;
    return soft;
}

INLINE void keep(double *flow, int b, Row row, double chosen) {
    flow[b] = chosen * row.f0;
    flow[L + b] = chosen * row.f1;
    flow[2 * L + b] = chosen * row.f2;
}

static void one(int lanes, int T, int S, const double *tau, const double *beta, const int32_t *successor, const double *p,
                const double *log_p, const double *log_prior, const double *initial, const double *reward, double *q,
                double *v, double *objective, double *gradient, double *w, double *visits, double *flow) {
    double *inverse = visits + 2 * S * L, *tilt = inverse + L, *untilt = tilt + L, *mean = untilt + L;
    for (int b = 0; b < L; b++) {
        inverse[b] = 1.0 / tau[b];
        mean[b] = beta[b] == 0.0; /* then the sums below are weighed with p alone */
        tilt[b] = beta[b];
        untilt[b] = beta[b] == 0.0 ? 0.0 : 1.0 / beta[b];
    }
    memset(w + (size_t)T * S * L, 0, sizeof(double) * S * L);
    memset(v + (size_t)T * S * L, 0, sizeof(double) * S * L);
    for (int t = T - 1; t >= 0; t--) {
        const double *ahead = w + (size_t)(t + 1) * S * L;
        for (int s = 0; s < S; s++) {
            const size_t here = ((size_t)t * S + s) * L;
            double *qs = q + here * A, *ws = w + here, *vs = v + here, *fs = flow + here * A * K;
            EACH for (int b = 0; b < lanes; b++) {
                Row q0 = event(s * A, b, successor, p, log_p, reward, ahead, inverse[b], tilt[b], untilt[b], mean[b]);
                Row q1 = event(s * A + 1, b, successor, p, log_p, reward, ahead, inverse[b], tilt[b], untilt[b], mean[b]);
                Row q2 = event(s * A + 2, b, successor, p, log_p, reward, ahead, inverse[b], tilt[b], untilt[b], mean[b]);
                Row q3 = event(s * A + 3, b, successor, p, log_p, reward, ahead, inverse[b], tilt[b], untilt[b], mean[b]);
                const double *prior = log_prior + s * A;
                Choice chosen = soft4(q0.x + prior[0], q1.x + prior[1], q2.x + prior[2], q3.x + prior[3]);
                qs[b] = tau[b] * q0.x;
                qs[L + b] = tau[b] * q1.x;
                qs[2 * L + b] = tau[b] * q2.x;
                qs[3 * L + b] = tau[b] * q3.x;
                ws[b] = chosen.x;
                vs[b] = tau[b] * chosen.x;
                keep(fs, b, q0, chosen.f0);
                keep(fs + K * L, b, q1, chosen.f1);
                keep(fs + 2 * K * L, b, q2, chosen.f2);
                keep(fs + 3 * K * L, b, q3, chosen.f3);
            }
        }
    }
    for (int b = 0; b < L; b++) {
        double top = -1e300, sum = 0.0, average = 0.0;
        for (int s = 0; s < S; s++) {
            average += initial[s] * w[s * L + b];
            if (initial[s] > 0) top = larger(top, tilt[b] * w[s * L + b]);
        }
        for (int s = 0; s < S; s++) {
            visits[s * L + b] = initial[s] > 0 ? initial[s] * exp(tilt[b] * w[s * L + b] - top) : 0.0;
            sum += visits[s * L + b];
        }
        objective[b] = mean[b] > 0 ? average : untilt[b] * (top + log(sum));
        for (int s = 0; s < S; s++) visits[s * L + b] = visits[s * L + b] / sum * inverse[b];
    }
    memset(gradient, 0, sizeof(double) * L * S * A * K);
    for (int t = 0; t < T; t++) {
        double *here = visits + (t & 1) * S * L, *next = visits + (~t & 1) * S * L;
        const double *ft = flow + (size_t)t * S * A * K * L;
        memset(next, 0, sizeof(double) * L * S);
        for (int s = 0; s < S; s++)
            for (int row = s * A * K; row < (s + 1) * A * K; row++)
                EACH for (int b = 0; b < lanes; b++) {
                    double sent = here[s * L + b] * ft[row * L + b];
                    gradient[row * L + b] += sent;
                    next[successor[row] * L + b] += sent;
                }
    }
}

/* `lanes` must be 8: a number known here would unroll the loops over it before they are vectorised. */
int solve_batch(int lanes, int settings, int T, int S, const double *tau, const double *beta, const int32_t *successor,
                const double *p, const double *log_p, const double *log_prior, const double *initial,
                const double *reward, double *q, double *v, double *objective, double *gradient) {
    double *w = aligned_alloc(64, sizeof(double) * L * (T + 1) * S);
    double *visits = aligned_alloc(64, sizeof(double) * L * (2 * S + 4));
    double *flow = aligned_alloc(64, sizeof(double) * L * T * S * A * K);
    if (!w || !visits || !flow) return 1;
    for (int first = 0; first < settings; first += L) {
        const size_t block = first; /* first / L blocks of L lanes */
        one(lanes, T, S, tau + first, beta + first, successor, p, log_p, log_prior, initial,
            reward + block * S * A * K, q + block * T * S * A, v + block * (T + 1) * S,
            objective + first, gradient + block * S * A * K, w, visits, flow);
    }
    free(w);
    free(flow);
    free(visits);
    return 0;
}
