#include "sdrbee/text/unicode.h"

#include <gtest/gtest.h>

namespace sdrbee::text {
namespace {

TEST(DecodeUtf8, ReplacesEachMaximalIllFormedPart) {
  EXPECT_EQ(decode_utf8("a\xC3"), U"a\uFFFD");
  EXPECT_EQ(decode_utf8("\xE2\x82(\xAC"), U"\uFFFD(\uFFFD");
  EXPECT_EQ(decode_utf8("\xF0\x9F\x98"), U"\uFFFD");
  EXPECT_EQ(decode_utf8("\xED\xA0\x80"), U"\uFFFD\uFFFD\uFFFD");  // a surrogate
  EXPECT_EQ(decode_utf8("\xC0\xAF\x80"), U"\uFFFD\uFFFD\uFFFD");  // overlong
  EXPECT_EQ(decode_utf8("\xF4\x90\x80\x80"), U"\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(decode_utf8("\xF4\x8F\xBF\xBF"), U"\U0010FFFF");
  EXPECT_EQ(decode_utf8(std::string_view("\0z", 2)), std::u32string_view(U"\0z", 2));
}

TEST(ComposeCanonically, OrdersMarksAndComposes) {
  EXPECT_EQ(compose_canonically(U"e\u0301"), U"\u00E9");
  EXPECT_EQ(compose_canonically(U"s\u0307\u0323"), U"\u1E69");
  EXPECT_EQ(compose_canonically(U"q\u0307\u0323"), U"q\u0323\u0307");
  EXPECT_EQ(compose_canonically(U"\u1112\u1161\u11AB"), U"\uD55C");
  EXPECT_EQ(compose_canonically(U"\u212B\uFB01"), U"\u00C5\uFB01");
}

TEST(ToLower, TreatsEachCharacterByItself) {
  EXPECT_EQ(to_lower(U"\u0130A\u00C9"), U"i\u0307a\u00E9");
  EXPECT_EQ(to_lower(U"\u039F\u03A3"), U"\u03BF\u03C3");  // no final sigma
  EXPECT_EQ(to_lower(U"\uA7CC\uA7CD\uA7DC\U00010D65"), U"\uA7CD\uA7CD\u019B\U00010D85");
}

TEST(CharacterClass, KnowsWhatUnicode16Added) {
  EXPECT_EQ(character_class(U'\u00BD'), CharacterClass::Number);
  EXPECT_EQ(character_class(U'\u3000'), CharacterClass::Space);
  EXPECT_EQ(character_class(U'\x1C'), CharacterClass::Other);
  EXPECT_EQ(character_class(U'\u0301'), CharacterClass::Other);
  EXPECT_EQ(character_class(U'\u1C89'), CharacterClass::Letter);
  EXPECT_EQ(character_class(U'\U00010D40'), CharacterClass::Number);
}

}  // namespace
}  // namespace sdrbee::text
