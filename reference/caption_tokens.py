"""Golden tokens of the coco-caption package's tokenizer (pycocoevalcap 1.2 from PyPI, needs Java), and lists to compare with.

    python reference/caption_tokens.py             writes crates/eval/tests/golden/ptb_tokens.json
    python reference/caption_tokens.py TEXT OUT    writes OUT, the tokens of every line of TEXT; compare with
        PTB_TOKENS=OUT cargo test -p gxn-eval --lib -- --ignored tokens_of_a_list

Both hold pairs [caption, tokens]. The golden list has the sentences of caption_metrics.py, the ones below word by word and
as lines, and random mixtures of their words and of signs.
"""
import json
import pathlib
import random
import sys

from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from caption_metrics import SENTENCES

LINES = r"""
#tbt #tbt2 #a_b #1 #1a #ab-c a#b # b #ab#cd #été C# F#
&amp; a&amp;b AT&amp;T R&amp;D's &lt;b&gt; &quot;hi&quot; &#39;s &#8217; it&#39;s &nbsp; &mdash; &ndash; caf&eacute; &copy; it&apos;s don&apos;t
½ 1½ 1 ½ a½ ¼ ⅓ 1⁄2 1 1/2 cups 10-1/2 1/2-inch 12/25/2014 12-25-14 1/2/3 100/1000 2\/3
rock'n'roll rock 'n' roll fish'n'chips Rock'N'Roll rock’n’roll rock´n´roll
a_b _a a_ __ _ a__b 1_2 snake_case_word FOO_BAR a_1 _1 @a_b foo_bar.jpg 1.jpg a.b.pdf 1.hi
10² m² x²y 5² ² 10⁻² H₂O ₂ CO₂ 1¹
🐶 a🐶b dog🐶 🐶🐶 a 🐶 b ❤️ ☺ 👨‍👩‍👧 ✈️ ⭐ 😀! :) :-) ;) ;-) :D :P =) (: <3 ^_^ -_- :'( xD (^_^) :[ :{ :3
“a” ‘a’ «a» ‹a› „a“ ‚a‘ "a" 'a' `a` ``a'' ´a´ a’s ‘tis ’90s don’t don`t don´t it’sa it'sa ‘“a”’ ”„ "a"’
a​b a‍b a b a﻿b a­b a­ ­a co­operate
\( a \) \[ a \] \/ \* a\nb \\ (a) [a] {a} ((a)) <a> <br/> <a href="x"> </p> a<b a>b a < b a <- b <!-- c --> <a b>
http://a.com/b?c=d&e=f www.foo.com foo.com foo.co.uk/bar (http://x.y/z) http://x.y/z. ftp://a.b http://foo AT&T.com
me@foo.com <me@foo.com> me@foo mail:me@foo.com @me @me_you @1 @ home a @ b @@
Mr. Mrs. Dr. St. Ave. Jan. Inc. Co. Ltd. etc. e.g. i.e. vs. a.m. No. 5 no. x No.5 Ph.D. U.S. approx. est. Ill. ill. Miss. miss. Tex.
Plan B. The dog. Plan B. the dog. Jan.b vs.x etc.foo approx., x
日本語 犬が走る 一只狗。 你好，世界！ 、 中文abc 「引用」 ａｂｃ １２３ 한국어 ไทย हिन्दी العربية، كلب؟ مرحبا بالعالم ١٢٣ עברית Ελληνικά русский
1,000 1.5 .5 -5 +5 5% $5 5$ US$5 £5 €5 ¥5 5¢ #5 1-2 1–2 1—2 10:30 10:30am 1.2.3.4 (5) 555-1234 555 1234 (555) 123-4567 800.555.1234
can't cannot gonna hafta d'ya 'tis 'twas y'all c'mon ma'am it'sa she'd've shouldn't've ol' somethin' 'em 'cause 'til O'Neil l'amour j'ai qu'il M'Baku Ha'Penny he'D
'80s 80's '80 '800 '80a a'80 '05-'06 ''90s 1980s'
a... a.. a.... ... .. . . . . …a…b wow!!! wow?! ?! !!?? a,b a;b a:b a.b a!b a,1 1,a 1;2 a/b a / b a//b and/or a/b/c a-b/c-d ...1/2
- -- --- ---- a-b a--b a - b -a a- a-b-c a–b a—b – — ― ‐ a‐b ‒ a‒b − a−b • a•b ·
A&B a&b b&w A&B-C A+B C++ 3+4 a=b a*b a^b ~a a|b a\b $ a$b % ^ ` ~ * ** *** = == => -> § © ® ™ a™ °
""".strip("\n").split("\n")
RANDOM_LINES = 1500


def tokens(captions):
    """One run for all; the end of a caption looks at the next one, which is therefore a word that means nothing to it."""
    pairs = [text for caption in captions for text in (caption, "x")]
    found = PTBTokenizer().tokenize({i: [{"caption": c}] for i, c in enumerate(pairs)})
    return [found[2 * i][0] for i in range(len(captions))]


def mixtures(seed):
    draw = random.Random(seed)
    words = [word for line in [*LINES, *SENTENCES] for word in line.split(" ") if word]
    signs = [*range(33, 127), *range(0xA1, 0x250), *range(0x2010, 0x2028), *range(0x202A, 0x2060), *range(0x20A0, 0x20C0), *range(0x2190, 0x2200)]
    pick = lambda: draw.choice(words) if draw.random() < 0.85 else chr(draw.choice(signs))
    return ["".join(pick() + draw.choice(["", " ", " "]) for _ in range(draw.randint(2, 6))) for _ in range(RANDOM_LINES)]


def main():
    if len(sys.argv) == 3:
        captions, path = pathlib.Path(sys.argv[1]).read_text().split("\n"), pathlib.Path(sys.argv[2])
    else:
        words = dict.fromkeys(word for line in LINES for word in line.split(" ") if word)
        captions, path = [*SENTENCES, *LINES, *words, *mixtures(1)], pathlib.Path("crates/eval/tests/golden/ptb_tokens.json")
    lines = [json.dumps(pair, ensure_ascii=False) for pair in zip(captions, tokens(captions))]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
