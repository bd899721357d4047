#include "sdrbee/text/sentencepiece_model.h"

#include <bit>

#include "sdrbee/core/error.h"

namespace sdrbee::text {
namespace {

enum class WireType : uint8_t { Varint = 0, Fixed64 = 1, Bytes = 2, Fixed32 = 5 };

/// One field of a message: its number and value, in the form that its wire type has.
struct Field {
  uint64_t number = 0;
  WireType type = WireType::Varint;
  uint64_t value = 0;      // of Varint, Fixed64 and Fixed32
  std::string_view bytes;  // of Bytes
};

/// Reads the fields of one message in turn.
class MessageReader {
 public:
  MessageReader(std::string_view bytes, size_t start, const std::string& origin)
      : bytes_(bytes), start_(start), origin_(&origin) {}

  bool done() const { return position_ == bytes_.size(); }

  Field next() {
    const uint64_t key = varint();
    Field field{.number = key >> 3, .type = static_cast<WireType>(key & 7U), .bytes = {}};
    if (field.number == 0) reject("a field number above 0");
    switch (field.type) {
      case WireType::Varint:
        field.value = varint();
        return field;
      case WireType::Fixed64:
        field.value = fixed(8);
        return field;
      case WireType::Fixed32:
        field.value = fixed(4);
        return field;
      case WireType::Bytes: {
        const uint64_t length = varint();
        if (length > bytes_.size() - position_) reject("bytes within the message");
        field.bytes = bytes_.substr(position_, length);
        position_ += length;
        return field;
      }
    }
    reject("wire type 0, 1, 2 or 5");
  }

  /// The message inside a field that was just read.
  MessageReader inside(const Field& field) const {
    check(field, WireType::Bytes);
    return {field.bytes, start_ + position_ - field.bytes.size(), *origin_};
  }

  void check(const Field& field, WireType type) const {
    if (field.type != type)
      reject(message("wire type ", static_cast<int>(type), " for the field ", field.number));
  }

  [[noreturn]] void reject(const std::string& expected) const {
    throw CheckpointError(
        message("[tokenizer] ", *origin_, ": byte ", start_ + position_, ": expected ", expected));
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (done()) reject("a number within the message");
      const auto byte = static_cast<unsigned char>(bytes_[position_++]);
      value |= static_cast<uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80) return value;
    }
    reject("a number of at most ten bytes");
  }

  uint64_t fixed(size_t count) {
    if (count > bytes_.size() - position_) reject("a number within the message");
    uint64_t value = 0;
    for (size_t i = count; i-- > 0;)
      value = value << 8 | static_cast<unsigned char>(bytes_[position_ + i]);
    position_ += count;
    return value;
  }

  std::string_view bytes_;
  size_t start_;  // of this message in the file
  size_t position_ = 0;
  const std::string* origin_;
};

std::pair<std::string, double> read_piece(MessageReader reader) {
  std::pair<std::string, double> piece;
  while (!reader.done()) {
    const Field field = reader.next();
    if (field.number == 1) {
      reader.check(field, WireType::Bytes);
      piece.first = field.bytes;
    } else if (field.number == 2) {
      reader.check(field, WireType::Fixed32);
      piece.second = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    }
  }
  return piece;
}

void read_trainer_spec(MessageReader reader, SentencePieceModel& model) {
  constexpr uint64_t kModelType = 3, kByteFallback = 35, kUnknownId = 40;
  while (!reader.done()) {
    const Field field = reader.next();
    if (field.number != kModelType && field.number != kByteFallback && field.number != kUnknownId)
      continue;
    reader.check(field, WireType::Varint);
    if (field.number == kModelType) model.model_type = static_cast<int64_t>(field.value);
    if (field.number == kByteFallback) model.byte_fallback = field.value != 0;
    if (field.number == kUnknownId) model.unknown = static_cast<int64_t>(field.value);
  }
}

void read_normalizer_spec(MessageReader reader, SentencePieceModel& model) {
  constexpr uint64_t kCharsmap = 2;
  while (!reader.done()) {
    const Field field = reader.next();
    if (field.number != kCharsmap) continue;
    reader.check(field, WireType::Bytes);
    model.charsmap = field.bytes;
  }
}

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& origin) {
  constexpr uint64_t kPieces = 1, kTrainerSpec = 2, kNormalizerSpec = 3;
  SentencePieceModel model;
  MessageReader reader(bytes, 0, origin);
  while (!reader.done()) {
    const Field field = reader.next();
    if (field.number == kPieces) model.pieces.push_back(read_piece(reader.inside(field)));
    if (field.number == kTrainerSpec) read_trainer_spec(reader.inside(field), model);
    if (field.number == kNormalizerSpec) read_normalizer_spec(reader.inside(field), model);
  }
  return model;
}

}  // namespace sdrbee::text
