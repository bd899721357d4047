#include "sdrbee/sampling/training_noise.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/cumprod.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "sdrbee/core/error.h"
#include "sdrbee/core/tensor.h"

namespace sdrbee::sampling {
namespace {

/// The betas of a share of signal that is a function of the time 0..1, each at most 0.999
/// (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17).
template <typename AlphaBar>
Tensor betas_of(int64_t count, AlphaBar alpha_bar) {
  std::vector<float> betas;
  for (int64_t i = 0; i < count; ++i) {
    const double begin = static_cast<double>(i) / static_cast<double>(count);
    const double end = static_cast<double>(i + 1) / static_cast<double>(count);
    betas.push_back(static_cast<float>(std::min(1 - alpha_bar(end) / alpha_bar(begin), 0.999)));
  }
  return at::tensor(betas);
}

double cosine_alpha_bar(double t) {
  const double c = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
  return c * c;
}

double laplace_alpha_bar(double t) {
  const double lambda =
      -0.5 * std::copysign(1.0, 0.5 - t) * std::log(1 - 2 * std::abs(0.5 - t) + 1e-6);
  const double snr = std::exp(lambda);
  return std::sqrt(snr / (1 + snr));
}

Tensor betas(const SchedulerConfig& config) {
  if (!config.trained_betas.empty())
    return at::tensor(config.trained_betas, at::TensorOptions().dtype(at::kFloat));
  const int64_t count = *config.num_train_timesteps;
  const double start = *config.beta_start;
  const double end = *config.beta_end;
  const std::string& schedule = *config.beta_schedule;
  if (schedule == "linear") return at::linspace(start, end, count, at::kFloat);
  if (schedule == "scaled_linear") {
    const Tensor roots = at::linspace(std::sqrt(start), std::sqrt(end), count, at::kFloat);
    return roots * roots;
  }
  if (schedule == "squaredcos_cap_v2") return betas_of(count, cosine_alpha_bar);
  if (schedule == "exp") return betas_of(count, [](double t) { return std::exp(t * -12.0); });
  if (schedule == "laplace") return betas_of(count, laplace_alpha_bar);
  if (schedule == "sigmoid")
    return at::sigmoid(at::linspace(-6, 6, count, at::kFloat)) * (end - start) + start;
  throw UnsupportedModel(message(
      "[scheduler_config.json] beta_schedule: expected linear, scaled_linear, squaredcos_cap_v2, "
      "exp, laplace or sigmoid but got '",
      schedule, "'"));
}

Tensor zero_terminal_snr(const Tensor& betas) {
  Tensor roots = at::sqrt(at::cumprod(1.0 - betas, 0));
  const float first = roots.select(0, 0).item<float>();
  const float last = roots.select(0, -1).item<float>();
  roots = (roots - last) * (first / (first - last));
  const Tensor alphas_bar = roots * roots;
  const int64_t count = alphas_bar.size(0);
  const Tensor ratios = alphas_bar.narrow(0, 1, count - 1) / alphas_bar.narrow(0, 0, count - 1);
  return 1.0 - at::cat({alphas_bar.narrow(0, 0, 1), ratios});
}

std::vector<float> to_vector(const Tensor& tensor) {
  const Tensor flat = tensor.contiguous();
  const auto* values = flat.const_data_ptr<float>();
  return {values, values + flat.numel()};
}

}  // namespace

TrainingNoise training_noise(const SchedulerConfig& config, bool keep_last_finite) {
  Tensor b = betas(config);
  if (b.numel() < 2)
    throw CheckpointError(
        message("[scheduler_config.json] num_train_timesteps: expected at least "
                "2 but got ",
                b.numel()));
  if (config.rescale_betas_zero_snr) b = zero_terminal_snr(b);
  Tensor alphas_cumprod = at::cumprod(1.0 - b, 0);
  if (config.rescale_betas_zero_snr && keep_last_finite)
    alphas_cumprod.select(0, -1).fill_(std::ldexp(1.0, -24));
  TrainingNoise noise;
  noise.alphas_cumprod = to_vector(alphas_cumprod);
  noise.sigmas = to_vector(at::sqrt((1 - alphas_cumprod) / alphas_cumprod));
  for (const float sigma : noise.sigmas)
    noise.log_sigmas.push_back(static_cast<float>(std::log(static_cast<double>(sigma))));
  if (!(noise.sigmas.front() > 0 && std::is_sorted(noise.sigmas.begin(), noise.sigmas.end())))
    throw CheckpointError(
        "[scheduler_config.json] the betas do not give noise levels that rise with the timestep");
  return noise;
}

double TrainingNoise::sigma_at(double timestep) const {
  if (timestep <= 0) return sigmas.front();
  if (timestep >= static_cast<double>(size() - 1)) return sigmas.back();
  const auto low = static_cast<size_t>(timestep);
  const double from = sigmas[low];
  const double slope = static_cast<double>(sigmas[low + 1]) - from;
  return slope * (timestep - static_cast<double>(low)) + from;
}

double TrainingNoise::log_interpolated_sigma_at(double timestep) const {
  const double inside = std::clamp(timestep, 0.0, static_cast<double>(size() - 1));
  const auto low = std::min(static_cast<size_t>(inside), sigmas.size() - 2);
  const double weight = inside - static_cast<double>(low);
  return std::exp((1 - weight) * log_sigmas[low] + weight * log_sigmas[low + 1]);
}

double TrainingNoise::timestep_of(double sigma) const {
  const double log_sigma = std::log(std::max(sigma, 1e-10));
  const auto above = std::upper_bound(log_sigmas.begin(), log_sigmas.end(), log_sigma);
  const auto low = std::clamp<int64_t>(above - log_sigmas.begin() - 1, 0, size() - 2);
  const float from = log_sigmas[static_cast<size_t>(low)];
  const float to = log_sigmas[static_cast<size_t>(low + 1)];
  const double weight = std::clamp((from - log_sigma) / (from - to), 0.0, 1.0);
  return (1 - weight) * static_cast<double>(low) + weight * static_cast<double>(low + 1);
}

float TrainingNoise::timestep_of_fp32(float sigma) const {
  const float log_sigma = std::log(std::max(sigma, 1e-10F));
  const auto above = std::upper_bound(log_sigmas.begin(), log_sigmas.end(), log_sigma);
  const auto low = std::clamp<int64_t>(above - log_sigmas.begin() - 1, 0, size() - 2);
  const float from = log_sigmas[static_cast<size_t>(low)];
  const float to = log_sigmas[static_cast<size_t>(low + 1)];
  const float weight = std::clamp((from - log_sigma) / (from - to), 0.0F, 1.0F);
  return (1 - weight) * static_cast<float>(low) + weight * static_cast<float>(low + 1);
}

}  // namespace sdrbee::sampling
