// A model without weights whose faults and pauses the tests choose.
#pragma once

#include <ATen/ops/full.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "sdrbee/engine/engine.h"
#include "sdrbee/models/plugin_model.h"
#include "sdrbee/models/registry.h"

namespace sdrbee::engine::testing {

/// What happens in the networks of all models of one test. Prompts that hold "throw", "nan",
/// "shape" or "decode" fail where the word says so.
struct Behaviour {
  std::atomic<int64_t> loads = 0;
  std::atomic<int64_t> decodes = 0;
  std::atomic<int64_t> calls = 0;          ///< of the denoiser
  std::atomic<int64_t> rows = 0;           ///< pictures in these calls, guidance included
  std::atomic<int64_t> largest_call = 0;   ///< rows of the largest
  std::atomic<bool> closed = false;        ///< the denoiser waits while this is set
  std::atomic<int64_t> closes_after = -1;  ///< that many calls, in the next one, it is set
};

/// Contexts carry what the prompt asks for: the length of the text and its fault.
class PatternModel final : public PluginModel {
 public:
  explicit PatternModel(std::shared_ptr<Behaviour> behaviour) : behaviour_(std::move(behaviour)) {
    ++behaviour_->loads;
  }

  static ModelInfo static_info() {
    ModelInfo info;
    info.family = "pattern";
    info.variant = "pattern";
    info.default_size = {64, 64};
    info.sizes = {.multiple = 8, .minimum = 8, .maximum = 256};
    info.text_to_image = {.steps = 3, .guidance_scale = 1.0, .strength = 1.0};
    return info;
  }

  ModelInfo info() const override { return static_info(); }
  std::string identity() const override { return "pattern"; }

  Tensor encode(const Prompt& prompt) override {
    const std::string& text = prompt.text.value_or("");
    if (text.find("throw") != std::string::npos) throw std::runtime_error("thrown on purpose");
    Tensor context = at::full({1, 4, 2}, static_cast<double>(text.size()) / 10.0);
    context.select(2, 1).fill_(text.find("nan") != std::string::npos      ? 1.0
                               : text.find("shape") != std::string::npos  ? 2.0
                               : text.find("decode") != std::string::npos ? 3.0
                                                                          : 0.0);
    return context;
  }

  Tensor denoise(const Tensor& latents, const Tensor& timesteps, const Tensor& context) override {
    if (behaviour_->calls == behaviour_->closes_after) behaviour_->closed = true;
    while (behaviour_->closed) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ++behaviour_->calls;
    behaviour_->rows += latents.size(0);
    behaviour_->largest_call = std::max<int64_t>(behaviour_->largest_call, latents.size(0));
    const Tensor marks = context.select(2, 1).amax(1);
    if (marks.eq(2.0).any().item<bool>()) return latents.narrow(1, 0, 1);
    Tensor raw = at::tanh(latents * 0.5 + context.select(2, 0).mean(1).reshape({-1, 1, 1, 1}) +
                          timesteps.reshape({-1, 1, 1, 1}) * 1e-3);
    if (marks.eq(1.0).any().item<bool>()) raw.fill_(std::numeric_limits<float>::quiet_NaN());
    return raw;
  }

  Tensor decode(const Tensor& latents) override {
    ++behaviour_->decodes;
    return at::upsample_nearest2d(latents.narrow(1, 0, 3),
                                  {latents.size(2) * 8, latents.size(3) * 8});
  }

 private:
  std::shared_ptr<Behaviour> behaviour_;
};

inline ModelSource pattern_source(const std::shared_ptr<Behaviour>& behaviour,
                                  const std::string& name = "pattern") {
  return {.name = name,
          .info = PatternModel::static_info(),
          .load = [behaviour](int64_t, std::optional<int64_t>) {
            return Registry::adopt(std::make_unique<PatternModel>(behaviour));
          }};
}

inline GenerationRequest request_for(const std::string& prompt, int64_t steps = 3,
                                     uint64_t seed = 7) {
  GenerationRequest request;
  request.prompt = prompt;
  request.steps = steps;
  request.seed = seed;
  request.sampler = "euler";
  return request;
}

}  // namespace sdrbee::engine::testing
