#include "sdrbee/sampling/samplers.h"

#include <algorithm>
#include <string>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/sampling/names.h"
#include "sdrbee/sampling/plan_details.h"

namespace sdrbee::sampling {

const SamplerRow& find_sampler(std::string_view name) {
  const std::string wanted = lower_case(name);
  std::vector<std::string_view> names;
  for (const SamplerRow& row : samplers()) {
    const auto matches = [&](std::string_view alias) { return lower_case(alias) == wanted; };
    if (row.name == wanted || std::any_of(row.aliases.begin(), row.aliases.end(), matches))
      return row;
    names.push_back(row.name);
  }
  throw InvalidRequest(unknown_name_message("sampler", name, names));
}

Step begin_step(const StepContext& context, Tensor latents, History& history) {
  const PlanDetails& plan = context.plan.details();
  SDRBEE_CHECK(context.step >= 0 && context.step < plan.steps);
  SDRBEE_CHECK_SHAPE(latents, {-1, -1, -1, -1});
  Step step = plan.row->step(context, std::move(latents), history);
  step.rethrow();
  return step;
}

}  // namespace sdrbee::sampling
