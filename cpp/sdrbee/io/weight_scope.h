// How a network takes its weights: by path, with the shape it expects.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sdrbee/core/device.h"
#include "sdrbee/io/load_queue.h"
#include "sdrbee/io/weight_source.h"

namespace sdrbee::io {

/// Which weights of a source were taken. Shared by all scopes of one network.
class WeightLedger {
 public:
  /// `bytes` is what the tensor takes in memory once it is read.
  void mark(const std::string& name, int64_t bytes) { taken_[name] = bytes; }

  /// What all tensors that were taken take in memory.
  int64_t bytes() const;

  /// What one of them takes; 0 when it was not taken.
  int64_t bytes(const std::string& name) const;

  /// Throws CheckpointError that lists the names of `source` under `prefix` that nobody took.
  /// Names that contain one of `ignorable` are passed over (old exports store index buffers).
  void check_all_taken(const WeightSource& source, std::string_view prefix = "",
                       const std::vector<std::string>& ignorable = {}) const;

 private:
  std::map<std::string, int64_t> taken_;
};

/// A path inside a WeightSource: `scope / "down_blocks" / 0 / "resnets"`. Layers are built from
/// it and take their tensors by name. Source, ledger and queue must outlive it; use it while
/// loading only, never store it. Without a queue nothing is put off.
class WeightScope {
 public:
  WeightScope(const WeightSource& source, WeightLedger& ledger, Dtype dtype, Device device,
              LoadQueue* queue = nullptr)
      : source_(&source), ledger_(&ledger), queue_(queue), dtype_(dtype), device_(device) {}

  WeightScope operator/(std::string_view name) const;
  WeightScope operator/(int64_t index) const;

  /// The same place, for tensors in another dtype: where a network keeps some in full precision.
  WeightScope as(Dtype dtype) const;

  /// The tensor `path.name` in the scope's dtype and on its device.
  /// Throws CheckpointError naming file, key and both shapes when it is missing or of other shape.
  Tensor take(std::string_view name, at::IntArrayRef shape) const;

  /// Like take, but the tensor is read and converted when the returned function is called, from
  /// any thread.
  std::function<Tensor()> promise(std::string_view name, at::IntArrayRef shape) const;

  /// Like promise, but in the dtype that it is stored in and on the CPU: the tensor may alias the
  /// mapped file, so it counts nothing in memory. For tables that few rows are used of.
  std::function<Tensor()> promise_stored(std::string_view name, at::IntArrayRef shape) const;

  /// The blocks of a quantised tensor of this shape, read when the returned function is called;
  /// nothing when the tensor is plain or the device isn't the CPU. Throws as take does.
  std::function<QuantisedTensor()> promise_blocks(std::string_view name,
                                                  at::IntArrayRef shape) const;

  /// Runs `task`, which reads the tensor `path.name`, when the network is built, beside other tasks
  /// on any thread; at once without a queue. It may be run again, when the tensor has changed.
  /// `remember`: see LoadQueue.
  void put_off(std::string_view name, LoadQueue::Task task,
               LoadQueue::Remember remember = {}) const;

  /// Like take, but nothing when there is no such name.
  std::optional<Tensor> take_if_present(std::string_view name, at::IntArrayRef shape) const;

  /// Whether `path.name` is a tensor of the source.
  bool contains(std::string_view name) const;

  /// Header information of `path.name`, where a layer's size is known from the file only.
  std::optional<WeightInfo> find(std::string_view name) const;

  Dtype dtype() const { return dtype_; }
  Device device() const { return device_; }
  const std::string& path() const { return path_; }

 private:
  std::string full_name(std::string_view name) const;
  bool claim(const std::string& key, at::IntArrayRef shape, int64_t bytes) const;
  std::string claim_present(std::string_view name, at::IntArrayRef shape, int64_t bytes) const;

  const WeightSource* source_;
  WeightLedger* ledger_;
  LoadQueue* queue_;
  Dtype dtype_;
  Device device_;
  std::string path_;
};

}  // namespace sdrbee::io
