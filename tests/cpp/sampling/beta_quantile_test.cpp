#include "sdrbee/sampling/beta_quantile.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace sdrbee::sampling {
namespace {

struct Case {
  double probability, a, b, x;
};

// [scipy.stats.beta.ppf(p, a, b) for p, a, b in ...]
constexpr std::array kScipy = {
    Case{1e-12, 0.6, 0.6, 1.8558824624914097e-20},
    Case{0.001, 0.6, 0.6, 1.855873851745199e-05},
    Case{0.05, 0.6, 0.6, 0.012554456873611399},
    Case{0.2, 0.6, 0.6, 0.12292175045833292},
    Case{0.3684210526315789, 0.6, 0.6, 0.32071951115550135},
    Case{0.5, 0.6, 0.6, 0.5000000000000001},
    Case{0.7, 0.6, 0.6, 0.7659829961247643},
    Case{0.9473684210526316, 0.6, 0.6, 0.9863289184355307},
    Case{0.999, 0.6, 0.6, 0.9999814412614826},
    Case{1e-12, 0.6, 1.7, 5.464486903906283e-21},
    Case{0.001, 0.6, 1.7, 5.46449996798909e-06},
    Case{0.05, 0.6, 1.7, 0.00371426062076416},
    Case{0.2, 0.6, 1.7, 0.0380087299880797},
    Case{0.3684210526315789, 0.6, 1.7, 0.10863030269691158},
    Case{0.5, 0.6, 1.7, 0.18752573459789912},
    Case{0.7, 0.6, 1.7, 0.3577463548228428},
    Case{0.9473684210526316, 0.6, 1.7, 0.7470178969747263},
    Case{0.999, 0.6, 1.7, 0.974469288069255},
    Case{1e-12, 2.5, 0.8, 1.834716275549554e-05},
    Case{0.001, 2.5, 0.8, 0.07272946034158942},
    Case{0.05, 2.5, 0.8, 0.3413976436563188},
    Case{0.2, 2.5, 0.8, 0.5813761447500362},
    Case{0.3684210526315789, 2.5, 0.8, 0.7286221148835677},
    Case{0.5, 2.5, 0.8, 0.8120308611813108},
    Case{0.7, 2.5, 0.8, 0.9087931415643848},
    Case{0.9473684210526316, 2.5, 0.8, 0.9903360855195114},
    Case{0.999, 2.5, 0.8, 0.9999323736067325},
};

TEST(BetaQuantile, EqualsScipy) {
  for (const Case& c : kScipy)
    EXPECT_NEAR(beta_quantile(c.probability, c.a, c.b) / c.x, 1, 4e-15)
        << c.probability << " " << c.a << " " << c.b;
}

TEST(BetaQuantile, EndsAreExact) {
  EXPECT_EQ(beta_quantile(0, 0.6, 0.6), 0);
  EXPECT_EQ(beta_quantile(1, 0.6, 0.6), 1);
  EXPECT_NEAR(beta_quantile(0.5, 0.6, 0.6), 0.5, 1e-15);
}

}  // namespace
}  // namespace sdrbee::sampling
