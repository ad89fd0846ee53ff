/* The backward sweep of linear-quadratic control without linear terms, for many problems that are constant in time:
   one problem a lane of a register, problem index fastest, dimensions known to the compiler.

   In: `F` = [A B] (block, N, Z, V), `root` (block, N, Q, V) with W = root root', `C` (block, Z, Z, V), `last` (block, N, N, V),
   `theta` (block, V). Out: `P` (block, T + 1, N, N, V), `K` (block, T, M, N, V), `inverse` (block, T, M, M, V) of Haa,
   `logs` (block, T, 2, V): log det (I + theta root' P root), or tr(W P) if theta is 0 in all problems; log det Haa. */
#include "lanes.h"
#include <stddef.h>

#define N 4
#define M 2
#define Q 4
#define Z (N + M)
#ifdef __AVX512F__
#define V 8
#else
#define V 4
#endif

typedef double Lane __attribute__((vector_size(V * sizeof(double))));

int problems_in_a_register(void) { return V; }

/* In place, the lower triangle of `a` becomes the unit factor, `inverse` the inverted pivots; the product of the pivots. */
#define FACTOR(a, inverse, size, product)                                                                              \
    do {                                                                                                               \
        product = a[0][0];                                                                                             \
        for (int j = 0; j < size; j++) {                                                                               \
            if (j > 0) product *= a[j][j];                                                                             \
            inverse[j] = 1.0 / a[j][j];                                                                                \
            for (int i = j + 1; i < size; i++) {                                                                       \
                Lane share = a[i][j] * inverse[j];                                                                     \
                for (int k = j + 1; k <= i; k++) a[i][k] -= share * a[k][j];                                           \
            }                                                                                                          \
            for (int i = j + 1; i < size; i++) a[i][j] *= inverse[j];                                                  \
        }                                                                                                              \
    } while (0)

INLINE void one(int T, int soft, const Lane *F, const Lane *root, const Lane *C, const Lane *last, Lane theta, Lane *P,
                Lane *gains, Lane *inverted, Lane *logs) {
    Lane p[N][N], W[N][N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            P[(size_t)T * N * N + i * N + j] = p[i][j] = last[i * N + j];
            W[i][j] = root[i * Q] * root[j * Q];
            for (int k = 1; k < Q; k++) W[i][j] += root[i * Q + k] * root[j * Q + k];
        }
    for (int t = T - 1; t >= 0; t--) {
        Lane *out = P + (size_t)t * N * N, *gain = gains + (size_t)t * M * N, *cov = inverted + (size_t)t * M * M;
        if (soft) {
            Lane b[Q][N], a[Q][Q], d[Q], product;
            for (int i = 0; i < Q; i++)
                for (int j = 0; j < N; j++) {
                    b[i][j] = root[i] * p[0][j];
                    for (int k = 1; k < N; k++) b[i][j] += root[k * Q + i] * p[k][j];
                }
            for (int i = 0; i < Q; i++)
                for (int j = 0; j <= i; j++) {
                    Lane x = b[i][0] * root[j];
                    for (int k = 1; k < N; k++) x += b[i][k] * root[k * Q + j];
                    a[i][j] = i == j ? 1.0 + theta * x : theta * x;
                }
            FACTOR(a, d, Q, product);
            for (int i = 1; i < Q; i++)
                for (int k = 0; k < i; k++)
                    for (int j = 0; j < N; j++) b[i][j] -= a[i][k] * b[k][j];
            for (int k = 0; k < Q; k++) {
                Lane scale = theta * d[k];
                for (int i = 0; i < N; i++) {
                    Lane share = scale * b[k][i];
                    for (int j = 0; j <= i; j++) p[i][j] -= share * b[k][j];
                }
            }
            for (int i = 0; i < N; i++)
                for (int j = 0; j < i; j++) p[j][i] = p[i][j];
            logs[2 * t] = product;
        } else {
            Lane trace = W[0][0] * p[0][0];
            for (int i = 0; i < N; i++)
                for (int j = i ? 0 : 1; j < N; j++) trace += W[i][j] * p[i][j];
            logs[2 * t] = trace;
        }
        Lane h[Z][Z], r[N][Z], d[M], product;
        for (int i = 0; i < N; i++)
            for (int j = 0; j < Z; j++) {
                r[i][j] = p[i][0] * F[j];
                for (int k = 1; k < N; k++) r[i][j] += p[i][k] * F[k * Z + j];
            }
        for (int i = 0; i < Z; i++)
            for (int j = 0; j <= i; j++) {
                h[i][j] = C[i * Z + j];
                for (int k = 0; k < N; k++) h[i][j] += F[k * Z + i] * r[k][j];
            }
        Lane a[M][M], y[M][N], x[M][M];
        for (int i = 0; i < M; i++) {
            for (int j = 0; j <= i; j++) a[i][j] = h[N + i][N + j];
            for (int j = 0; j < N; j++) y[i][j] = h[N + i][j];
        }
        FACTOR(a, d, M, product);
        logs[2 * t + 1] = product;
        for (int i = 0; i < M; i++) {
            for (int j = 0; j < M; j++) x[i][j] = (Lane){} + (i == j ? 1.0 : 0.0);
            for (int k = 0; k < i; k++) {
                for (int j = 0; j < N; j++) y[i][j] -= a[i][k] * y[k][j];
                for (int j = 0; j <= k; j++) x[i][j] -= a[i][k] * x[k][j];
            }
        }
        for (int i = 0; i < M; i++)
            for (int j = 0; j < M; j++) {
                Lane sum = (Lane){};
                for (int k = i > j ? i : j; k < M; k++) sum += x[k][i] * d[k] * x[k][j];
                cov[i * M + j] = sum;
            }
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                Lane sum = d[i] * y[i][j];
                for (int k = i + 1; k < M; k++) sum += x[k][i] * d[k] * y[k][j];
                gain[i * N + j] = sum;
            }
        for (int i = 0; i < N; i++)
            for (int j = 0; j <= i; j++) {
                Lane sum = h[i][j];
                for (int k = 0; k < M; k++) sum -= y[k][i] * d[k] * y[k][j];
                p[i][j] = p[j][i] = sum;
                out[i * N + j] = out[j * N + i] = sum;
            }
    }
    double *each = (double *)logs;
    if (soft)
        EACH for (int i = 0; i < 2 * T * V; i++) each[i] = vlog(each[i]);
    else
        EACH for (int i = 0; i < T; i++)
            EACH for (int b = 0; b < V; b++) each[(2 * i + 1) * V + b] = vlog(each[(2 * i + 1) * V + b]);
}

/* `soft` says whether any theta is not 0. */
void solve_lq(int blocks, int T, int soft, const Lane *F, const Lane *root, const Lane *C, const Lane *last,
              const Lane *theta, Lane *P, Lane *gains, Lane *inverse, Lane *logs) {
    for (size_t b = 0; b < (size_t)blocks; b++) {
        const Lane *f = F + b * N * Z, *l = root + b * N * Q, *c = C + b * Z * Z, *end = last + b * N * N;
        Lane *p = P + b * (T + 1) * N * N, *k = gains + b * T * M * N, *v = inverse + b * T * M * M, *g = logs + b * T * 2;
        if (soft)
            one(T, 1, f, l, c, end, theta[b], p, k, v, g);
        else
            one(T, 0, f, l, c, end, theta[b], p, k, v, g);
    }
}
