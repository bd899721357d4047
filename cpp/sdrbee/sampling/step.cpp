#include "sdrbee/sampling/step.h"

#include "sdrbee/core/check.h"

namespace sdrbee::sampling {

Step::~Step() {
  if (handle_) handle_.destroy();
}

bool Step::done() const { return handle_.done(); }

const Evaluation& Step::evaluation() const {
  SDRBEE_CHECK(handle_ && !handle_.done());
  return handle_.promise().evaluation;
}

void Step::resume(Prediction prediction) {
  SDRBEE_CHECK(handle_ && !handle_.done());
  handle_.promise().prediction = std::move(prediction);
  handle_.resume();
  rethrow();
}

Tensor Step::latents() const {
  SDRBEE_CHECK(handle_ && handle_.done());
  rethrow();
  return handle_.promise().latents;
}

void Step::rethrow() const {
  if (handle_.promise().error) std::rethrow_exception(handle_.promise().error);
}

void EvaluationAwaiter::await_suspend(Step::Handle handle) {
  handle_ = handle;
  handle.promise().evaluation = std::move(evaluation_);
}

Prediction EvaluationAwaiter::await_resume() { return std::move(handle_.promise().prediction); }

}  // namespace sdrbee::sampling
