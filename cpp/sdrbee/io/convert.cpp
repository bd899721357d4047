#include "sdrbee/io/convert.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/io/gguf_writer.h"
#include "sdrbee/io/quantise.h"
#include "sdrbee/io/safetensors.h"

namespace sdrbee::io {
namespace {

/// Smaller matrices save nothing and may matter.
constexpr int64_t kMinQuantisedElements = 1024;

/// A number format: `ggml` where GGUF has it, `dtype` where safetensors has it.
struct NumberType {
  std::string_view name;
  std::optional<GgmlType> ggml;
  std::optional<Dtype> dtype;
  /// What is taken where rows are no whole blocks.
  std::string_view fallback = {};
};

constexpr std::array<NumberType, 11> kTypes = {{
    {"f32", GgmlType::F32, Dtype::Float},
    {"f16", GgmlType::F16, Dtype::Half},
    {"bf16", GgmlType::BF16, Dtype::BFloat16},
    {"fp8", std::nullopt, Dtype::Float8_e4m3fn},
    {"q8_0", GgmlType::Q8_0, std::nullopt},
    {"q6_k", GgmlType::Q6_K, std::nullopt, "q8_0"},
    {"q5_1", GgmlType::Q5_1, std::nullopt},
    {"q5_0", GgmlType::Q5_0, std::nullopt},
    {"q4_k", GgmlType::Q4_K, std::nullopt, "q5_0"},
    {"q4_1", GgmlType::Q4_1, std::nullopt},
    {"q4_0", GgmlType::Q4_0, std::nullopt},
}};

bool is_gguf_target(const std::filesystem::path& target) { return target.extension() == ".gguf"; }

bool allowed(const NumberType& type, bool gguf) {
  return gguf ? type.ggml.has_value() : type.dtype.has_value();
}

bool is_plain_float(const NumberType& type) { return type.ggml && type.dtype; }

const NumberType* find_type(std::string_view name) {
  const auto found = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](const NumberType& type) { return type.name == name; });
  return found == kTypes.end() ? nullptr : &*found;
}

/// The type of a name in any case. Throws InvalidRequest with the names that the target takes.
const NumberType& parse_type(std::string name, const std::filesystem::path& target) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const NumberType* found = find_type(name);
  if (found != nullptr && allowed(*found, is_gguf_target(target))) return *found;
  std::string listed;
  for (const std::string& one : conversion_types(target))
    listed += (listed.empty() ? "" : " ") + one;
  throw InvalidRequest(message("[type] expected one of ", listed, " for a file ",
                               target.filename().string(), " but got '", name, "'"));
}

/// Chooses types, knowing what the user asked for.
class Chooser {
 public:
  explicit Chooser(const ConversionOptions& options)
      : options_(options), gguf_(is_gguf_target(options.target)) {
    if (!options.type.empty()) type_ = &parse_type(options.type, options.target);
    for (const TypeRule& rule : options.rules)
      rule_types_.push_back(&parse_type(rule.type, options.target));
  }

  /// The type that a tensor gets; nothing: the one that it has.
  const NumberType* choose(const std::string& name, const WeightInfo& info) const {
    for (size_t i = 0; i < rule_types_.size(); ++i) {
      if (::fnmatch(options_.rules[i].pattern.c_str(), name.c_str(), 0) != 0) continue;
      const NumberType* fitting = fit(*rule_types_[i], info);
      if (fitting == nullptr || !at::isFloatingType(info.dtype))
        throw InvalidRequest(message("[rule ", options_.rules[i].pattern, "] tensor '", name,
                                     "' of shape ", shape_text(info.shape), " and dtype ",
                                     dtype_name(info.dtype), " can't be ", rule_types_[i]->name));
      return fitting;
    }
    if (type_ == nullptr || !at::isFloatingType(info.dtype)) return nullptr;
    if (is_plain_float(*type_)) return type_;
    const bool large =
        info.shape.size() > 1 && c10::multiply_integers(info.shape) >= kMinQuantisedElements;
    return large ? fit(*type_, info) : nullptr;
  }

 private:
  /// The type itself or its fallback, whichever has blocks that rows are whole ones of.
  const NumberType* fit(const NumberType& type, const WeightInfo& info) const {
    for (const NumberType* one = &type; one != nullptr; one = find_type(one->fallback))
      if (!one->ggml || !gguf_ || has_whole_rows({*one->ggml, info.shape, {}})) return one;
    return nullptr;
  }

  const ConversionOptions& options_;
  bool gguf_;
  const NumberType* type_ = nullptr;
  std::vector<const NumberType*> rule_types_;
};

GgmlType ggml_type_of(const WeightInfo& info, const NumberType* chosen) {
  if (chosen != nullptr) return *chosen->ggml;
  if (info.blocks) return *info.blocks;
  for (const GgmlLayout& layout : ggml_layouts())
    if (layout.dtype == info.dtype) return layout.type;
  return GgmlType::F16;  // holds all values of fp8
}

Dtype dtype_of(const WeightInfo& info, const NumberType* chosen) {
  if (chosen != nullptr) return *chosen->dtype;
  return info.blocks ? Dtype::Half : info.dtype;
}

/// Calls the observer once a tensor.
class Counter {
 public:
  Counter(int64_t total, const std::function<void(int64_t, int64_t)>& observe)
      : total_(total), observe_(observe) {}
  void count() { observe_(++done_, total_); }

 private:
  int64_t done_ = 0;
  int64_t total_;
  const std::function<void(int64_t, int64_t)>& observe_;
};

ConversionReport write_as_gguf(const WeightSource& source, const ConversionOptions& options,
                               Counter& counter) {
  const Chooser chooser(options);
  std::map<std::string, PlannedTensor> plan;
  ConversionReport report;
  for (const std::string& name : source.names()) {
    const WeightInfo info = *source.find(name);
    const GgmlType type = ggml_type_of(info, chooser.choose(name, info));
    plan[name] = {type, info.shape};
    ++report.tensors[std::string(ggml_type_name(type))];
  }
  const auto blocks = [&](const std::string& name) {
    counter.count();
    const GgmlType type = plan.at(name).type;
    if (source.find(name)->blocks == type) return source.read_blocks(name);
    const std::optional<Dtype> dtype = ggml_layout(type).dtype;
    const Tensor values = source.read(name);
    return dtype ? as_blocks(values.to(*dtype)) : quantise(values, type);
  };
  write_gguf(options.target, plan, blocks, options.gguf_metadata);
  report.bytes = std::filesystem::file_size(options.target);
  return report;
}

ConversionReport write_as_safetensors(const WeightSource& source, const ConversionOptions& options,
                                      Counter& counter) {
  const Chooser chooser(options);
  std::map<std::string, WeightInfo> plan;
  ConversionReport report;
  for (const std::string& name : source.names()) {
    const WeightInfo info = *source.find(name);
    const Dtype dtype = dtype_of(info, chooser.choose(name, info));
    plan[name] = {dtype, info.shape};
    ++report.tensors[std::string(safetensors_dtype_name(dtype))];
  }
  const auto values = [&](const std::string& name) {
    counter.count();
    return source.read(name).to(plan.at(name).dtype);
  };
  write_safetensors(options.target, plan, values, options.metadata);
  report.bytes = std::filesystem::file_size(options.target);
  return report;
}

}  // namespace

std::vector<std::string> conversion_types(const std::filesystem::path& target) {
  std::vector<std::string> names;
  for (const NumberType& type : kTypes)
    if (allowed(type, is_gguf_target(target))) names.emplace_back(type.name);
  return names;
}

ConversionReport convert_weights(const WeightSource& source, const ConversionOptions& options,
                                 const std::function<void(int64_t, int64_t)>& observe) {
  Counter counter(std::ssize(source.names()), observe);
  if (is_gguf_target(options.target)) return write_as_gguf(source, options, counter);
  if (options.target.extension() == ".safetensors")
    return write_as_safetensors(source, options, counter);
  throw InvalidRequest(
      message("[target] expected a .safetensors or .gguf file but got ", options.target.string()));
}

}  // namespace sdrbee::io
