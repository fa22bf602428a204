#ifdef __CUDACC__
#if CLUSTER > 1
#define CLUSTERED __cluster_dims__(CLUSTER, 1, 1)
#else
#define CLUSTERED
#endif

extern "C" __global__ void CLUSTERED __launch_bounds__(THREADS) run_forward(const Call call) {
  __shared__ ForwardShared shared;
  forward_block(call, shared);
}

extern "C" __global__ void CLUSTERED __launch_bounds__(THREADS) run_backward(const Call call) {
  __shared__ BackwardShared shared;
  backward_block(call, shared);
}
#endif
