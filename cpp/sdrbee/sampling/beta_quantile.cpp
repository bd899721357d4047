#include "sdrbee/sampling/beta_quantile.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sdrbee::sampling {
namespace {

/// The continued fraction of I_x(a, b) by Lentz's method (DLMF 8.17.22); converges fast for
/// x < (a + 1) / (a + b + 2).
double continued_fraction(double x, double a, double b) {
  constexpr double kTiny = 1e-300;
  constexpr int kMaxTerms = 500;
  double c = 1;
  double d = 1 / std::max(1 - (a + b) * x / (a + 1), kTiny);
  double value = d;
  for (int m = 1; m <= kMaxTerms; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double factor = 1;
    for (const double term : {even, odd}) {
      d = 1 / (1 + term * d);
      c = 1 + term / c;
      factor = c * d;
      value *= factor;
    }
    if (std::abs(factor - 1) < std::numeric_limits<double>::epsilon()) break;
  }
  return value;
}

double complete_beta(double a, double b) {
  return std::tgamma(a) * std::tgamma(b) / std::tgamma(a + b);
}

double incomplete_beta(double x, double a, double b) {
  const double front = std::pow(x, a) * std::pow(1 - x, b) / complete_beta(a, b);
  if (x < (a + 1) / (a + b + 2)) return front * continued_fraction(x, a, b) / a;
  return 1 - front * continued_fraction(1 - x, b, a) / b;
}

/// The quantile of a probability whose x lies in the lower half, where I_x has no cancellation:
/// Newton's method in log x, kept inside a shrinking bracket.
double lower_quantile(double probability, double a, double b) {
  double low = std::log(std::numeric_limits<double>::min());
  double high = 0;
  const double beta = complete_beta(a, b);
  // I_x(a, b) ~ x^a / (a B(a, b)) near 0.
  double log_x = std::log(probability * a * beta) / a;
  double correction = 0;  // relative, what rounding of log x leaves over
  for (int i = 0; i < 200; ++i) {
    if (!(log_x > low && log_x < high)) log_x = (low + high) / 2;
    const double x = std::exp(log_x);
    const double error = incomplete_beta(x, a, b) - probability;
    (error > 0 ? high : low) = log_x;
    const double slope = std::pow(x, a) * std::pow(1 - x, b - 1) / beta;  // d I / d log x
    const double step = error / slope;
    if (std::abs(step) < 1e-14 * std::max(1.0, std::abs(log_x))) {
      correction = step;
      break;
    }
    log_x -= step;
  }
  return std::exp(log_x) * (1 - correction);
}

}  // namespace

double beta_quantile(double probability, double a, double b) {
  if (probability <= 0) return 0;
  if (probability >= 1) return 1;
  // The half with the smaller tail keeps relative accuracy: I_x(a, b) = 1 - I_{1-x}(b, a).
  if (probability <= 0.5) return lower_quantile(probability, a, b);
  return 1 - lower_quantile(1 - probability, b, a);
}

}  // namespace sdrbee::sampling
