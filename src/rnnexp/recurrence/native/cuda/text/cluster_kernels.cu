#if CLUSTER > 1 && RECURRENT
#define CLUSTERED __cluster_dims__(CLUSTER, 1, 1)
#else
#define CLUSTERED
#endif

static_assert(sizeof(ForwardShared) <= SHARED && sizeof(BackwardShared) <= SHARED, "");

extern "C" __global__ void CLUSTERED __launch_bounds__(THREADS) run_forward(const Call call) {
  extern __shared__ char memory[];
  forward_block(call, *(ForwardShared *)memory);
}

extern "C" __global__ void CLUSTERED __launch_bounds__(THREADS) run_backward(const Call call) {
  extern __shared__ char memory[];
  backward_block(call, *(BackwardShared *)memory);
}
