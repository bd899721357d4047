// The quantile function of the beta distribution.
#pragma once

namespace sdrbee::sampling {

/// The x in 0..1 at which the regularised incomplete beta function I_x(a, b) equals `probability`,
/// to about 1e-15; what `scipy.stats.beta.ppf` computes. a, b > 0, 0 <= probability <= 1.
double beta_quantile(double probability, double a, double b);

}  // namespace sdrbee::sampling
