// A sampler step: a coroutine that asks for evaluations of the network.
#pragma once

#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "sdrbee/core/rng.h"
#include "sdrbee/core/tensor.h"
#include "sdrbee/sampling/prediction.h"

namespace sdrbee::sampling {

class Plan;

/// What a step asks of the network. `mix` says how noisy `input` is:
/// input = mix.alpha * clean + mix.sigma * noise.
struct Evaluation {
  Tensor input;         ///< fp32 [B, C, H, W], already scaled as the network expects it
  double timestep = 0;  ///< what the network receives
  Mix mix;
};

/// The answer to an Evaluation, fp32, of the input's shape.
struct Prediction {
  Tensor raw;         ///< output of the network, guidance applied
  Tensor raw_uncond;  ///< the unconditional output; undefined without guidance
};

/// What a sampler remembers from step to step: a plain value that can be stored and put back.
/// Its layout is generic so that storing it needs no knowledge of samplers: all tensors are fp32
/// of the latents' shape, and a default-constructed History is a generation that made no step yet.
/// What the entries mean is each sampler's business:
/// - dpmpp_2m, dpmpp_2m_sde, deis, unipc: `tensors` are the converted outputs of the last steps,
///   newest last; unipc puts the sample before its last prediction in front of them and the order
///   of that prediction into `scalars`;
/// - lms: `tensors` are the last derivatives, newest last;
/// - pndm: `tensors` are the last network outputs, newest last;
/// - ipndm, ipndm_v, gradient_estimation: `tensors` are the last derivatives, newest last;
/// - dpmpp_3m_sde, res_multistep, er_sde: `tensors` are the last clean estimates, newest last;
/// - sa_solver: `tensors` are the sample before the last prediction, its noise, and the last clean
///   estimates, newest last; `scalars` the order of the correction that is still to be made;
/// - dpm_adaptive: `tensors` is the lower-order sample of the last step taken, `scalars` the time
///   -log sigma that was reached and the length of the next step;
/// - all others leave `tensors` and `scalars` empty.
struct History {
  std::vector<Tensor> tensors;
  std::vector<double> scalars;
  int64_t count = 0;    ///< steps made since the beginning of this generation
  double progress = 0;  ///< open-ended plans: the part of the way that is made; 1 is the end
};

/// One of the plan's noise levels: an index into `Plan::timesteps()`; the index after the last one
/// stands for the clean picture. A level that an open-ended plan found on the way is a sigma.
struct NoiseLevel {
  int64_t index = 0;
  std::optional<float> sigma{};
};

/// Called on the latents inside a step where diffusers ends a `scheduler.step()` (after the first
/// half of Heun, DPM2, ...), so that masked inpainting can blend there; returns the latents to go
/// on with. `Plan::add_noise_at` noises clean latents to `level`.
using Constraint = std::function<Tensor(Tensor latents, const NoiseLevel& level)>;

/// What a step needs; everything referred to must outlive the Step.
struct StepContext {
  const Plan& plan;
  int64_t step = 0;             ///< 0 <= step < plan.step_count()
  NoiseSource& noise;           ///< of this one picture
  const Constraint& constrain;  ///< may be empty
};

/// Handle of a running step; move-only. It is either suspended in an evaluation or done.
class Step {
 public:
  struct promise_type;
  using Handle = std::coroutine_handle<promise_type>;

  Step(Step&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Step& operator=(Step&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;
  ~Step();

  bool done() const;

  /// The evaluation that the step waits for; only while not done.
  const Evaluation& evaluation() const;

  /// Continues with the network's answer up to the next evaluation or the end. Errors inside the
  /// step come out of here; the step is then unusable.
  void resume(Prediction prediction);

  /// The latents after the step, fp32; only when done.
  Tensor latents() const;

 private:
  friend Step begin_step(const StepContext& context, Tensor latents, History& history);
  explicit Step(Handle handle) : handle_(handle) {}
  void rethrow() const;

  Handle handle_;
};

/// Begins a step on fp32 `latents` [B, C, H, W] and runs it up to its first evaluation. `history`
/// is read, and written before the step is done. Throws what the sampler throws.
Step begin_step(const StepContext& context, Tensor latents, History& history);

/// Suspends a step until the network has answered: `Prediction p = co_await evaluate(...)`.
class EvaluationAwaiter {
 public:
  explicit EvaluationAwaiter(Evaluation evaluation) : evaluation_(std::move(evaluation)) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(Step::Handle handle);
  Prediction await_resume();

 private:
  Evaluation evaluation_;
  Step::Handle handle_;
};

struct Step::promise_type {
  Evaluation evaluation;
  Prediction prediction;
  Tensor latents;
  std::exception_ptr error;

  Step get_return_object() { return Step(Handle::from_promise(*this)); }
  std::suspend_never initial_suspend() noexcept { return {}; }
  std::suspend_always final_suspend() noexcept { return {}; }
  void unhandled_exception() { error = std::current_exception(); }
  void return_value(Tensor result) { latents = std::move(result); }
};

}  // namespace sdrbee::sampling
