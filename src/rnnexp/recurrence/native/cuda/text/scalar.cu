/* One hidden unit of one row per thread, and the functions that act on its numbers. */
#ifdef REAL_IS_DOUBLE
typedef double real;
#define FN(name) name
#else
typedef float real;
#define FN(name) name##f
#endif
typedef real vec; /* the generated functions have registers of it on a CPU */
#define INLINE static __device__ __forceinline__
#define INLINE_MEMBER __device__ __forceinline__
#define CONSTANT static __device__ const
#define AT_LEAST_1(n) ((n) > 0 ? (n) : 1)
#ifndef NAN /* NVRTC has no header for them */
#define NAN __int_as_float(0x7fffffff)
#define INFINITY __int_as_float(0x7f800000)
#endif

INLINE real splat(real x) { return x; }

/* A condition is 1 or 0, as it is where torch multiplies by a mask. */
INLINE real op_where(real c, real yes, real no) { return c != 0 ? yes : no; }
INLINE real op_lt(real a, real b) { return a < b; }
INLINE real op_le(real a, real b) { return a <= b; }
INLINE real op_eq(real a, real b) { return a == b; }
INLINE real op_max(real a, real b) { return a > b || a != a ? a : b; }
INLINE real op_min(real a, real b) { return a < b || a != a ? a : b; }
INLINE real op_relu(real a) { return a < 0 ? 0 : a; }
INLINE real op_sign(real a) { return (a > 0) - (a < 0); }
INLINE real op_abs(real a) { return FN(fabs)(a); }
INLINE real op_tanh(real a) { return FN(tanh)(a); }
INLINE real op_sigmoid(real a) { return 1 / (1 + FN(exp)(-a)); }
INLINE real op_exp(real a) { return FN(exp)(a); }
INLINE real op_expm1(real a) { return FN(expm1)(a); }
INLINE real op_sqrt(real a) { return FN(sqrt)(a); }
INLINE real op_log(real a) { return FN(log)(a); }
INLINE real op_log1p(real a) { return FN(log1p)(a); }
INLINE real op_sin(real a) { return FN(sin)(a); }
INLINE real op_cos(real a) { return FN(cos)(a); }
INLINE real op_erf(real a) { return FN(erf)(a); }
INLINE real op_pow(real a, real b) { return FN(pow)(a, b); }

/* Of the sign of y, as in torch. */
INLINE real op_remainder(real x, real y) {
  const real rest = FN(fmod)(x, y);
  return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}
