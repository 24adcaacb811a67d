//! What is a token: patterns, tried together.

/// What becomes of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// A token, lower case.
    Token,
    /// A token whose apostrophe is spelled `'`.
    Contraction,
    /// A token whose parentheses are spelled as those alone are.
    Bracketed,
    /// A token of quotation marks as the Penn Treebank spells them.
    Quoted,
    /// A token of this many characters; the others must match and stay.
    First(usize),
    /// Two tokens, the first with this many characters.
    Split(usize),
    /// A token with `&` for `&amp;`.
    Joined,
    /// This token.
    Spelled(&'static str),
    /// Nothing: punctuation that the package drops, and what separates tokens.
    Nothing,
}

/// A pattern, how many characters at its end must match and stay, and what becomes of the rest.
pub(super) type Rule = (&'static str, usize, Then);

/// Parts of patterns. `~` is an apostrophe, `` ` `` whatever people write for one.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("L", "[\\p\\m\u{ad}]|&[aeiouAEIOU](acute|grave|uml);"),
    ("W", "{L}|\\d"),
    ("A", "[\\p\\d]"),
    ("~", "['\u{92}\u{2019}]"),
    ("`", "['\u{92}\u{2019}`\u{91}\u{2018}\u{201b}]"),
    ("HYPHEN", "[-_\u{58a}\u{2010}\u{2011}]"),
    ("ELIDED", "[dDoOlL]{`}{A}"),
    ("NUM", "\\d+|\\d*([.:,\u{ad}\u{66b}\u{66c}]\\d+)+"),
    ("ACRONYM", "[A-Za-z](\\.[A-Za-z])+|(Canada|Sino|Korean|EU|Japan|non)-U\\.S|U\\.S\\.-(U\\.K|U\\.S\\.S\\.R)"),
    ("URL", "[^\u{20}\t\r\n\"<>|()]"),
    ("URLEND", "[^\u{20}\t\r\n\"<>|().!?,{}\\-]"),
    ("HOST", "[^\u{20}\t\r\n\"`'<>|.!?(){},-_$]+"),
    ("MAIL", "[^\u{20}\u{a0}\t\r\n\"<>|(){}]"),
    ("DOMAIN", "[^\u{20}\u{a0}\t\r\n\"<>|().{}]"),
    ("TAG", "[A-Za-z][A-Za-z0-9_:.-]*"),
    ("SPACE", "[\u{20}\u{a0}]"),
    ("SLASHED", "[A-Za-z0-9]+(-[A-Za-z]+){0,2}"),
    (
        "CUT",
        "al|ala|apr|ariz|assn|aug|bancorp|bhd|bldg|blvd|bros|calif|co|colo|conn|corp|cos|ct|dak|dec|esq|est|etc|ext|feb|fla|fri|ga\
         |inc|ind|intl|jan|jr|jul|jun|kans?|ky|ltd|mar|md|mich|minn|mon?|mont|neb|nev|nov|oct|okla|penn|plc|rd|rt|sept?|seq|sq|sr\
         |sys|tel|tenn|thu|thurs|tues?|univ|va|vt|wed|wisc?|wyo",
    ),
    // Words too, where they are lower case.
    (
        "CASED",
        "A[Rr][Kk]|A[Zz]|D[Ee][Ll]|I[Ll][Ll]|L[Aa]|M[Aa][Ss][Ss]|M[Ii][Ss][Ss]|O[Rr][Ee]|P[Aa]|T[Ee][Xx]|W[Aa][Ss][Hh]|[Pp]p?t[ey]s?",
    ),
    (
        "STARTER",
        "A|About|According|Additionally|After|An|As|At|But|Earlier|Her?|Here|However|I[fnt]|Last|Many|More|M[rs]\\.|Now|Once|One|Other\
         |Our|She|Since|So|Some|Such|That|The|Their|Then|There|These|They|This|We|What|When|While|Yet|You",
    ),
    ("EYE", "[\\-^x=~<>']"),
];

/// Of equally long matches the earlier rule wins.
pub(super) const RULES: &[Rule] = &[
    // Markup and entities.
    ("<[!?][A-Za-z\\-][^>\n]*>|</{TAG}>|<{TAG}( +({TAG}|{TAG} *= *('[^'\n]*'|\"[^\"\n]*\")))* */? *>", 0, Then::Token),
    ("&(MD|mdash|ndash);|[\u{96}\u{97}\u{2013}-\u{2015}]", 0, Then::Nothing),
    ("(?i)&amp;", 0, Then::Spelled("&")),
    ("(?i)&lt;", 0, Then::Spelled("<")),
    ("(?i)&gt;", 0, Then::Spelled(">")),
    ("(?i)&nbsp;", 0, Then::Nothing),
    ("&(HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+);", 0, Then::Token),
    // Contractions.
    ("(?i)[A-Za-z\u{ad}]*[a-mo-z]\u{ad}*n{`}t", 3, Then::Token),
    ("(?i)[A-Za-z\u{ad}]*[a-mo-z]\u{ad}*n&apos;t", 8, Then::Token),
    // The contraction ends where it may, so the word before it comes first among equals.
    ("(?i){L}{W}*([.!?]{L}{W}*)*{~}[msd]", 2, Then::Token),
    ("(?i){L}{W}*([.!?]{L}{W}*)*{~}(re|ve|ll)", 3, Then::Token),
    ("(?i)cannot|gonna|gotta|lemme|gimme|wanna", 0, Then::Split(3)),
    ("(?i){~}tis", 2, Then::Token),
    ("(?i){~}twas", 3, Then::Token),
    (
        "(?i){~}n{~}?|[ldj]{~}|dunkin{~}|somethin{~}|ol{~}|{~}em|{~}[2-9]0s|{~}till?|{~}cause|c{~}mon|cap{~}n|c{~}est|e{~}er\
         |ev{~}ry|li{~}l|nat{~}l|s{~}mores|o{`}o",
        0,
        Then::Token,
    ),
    ("[A-HJ-XZn]{`}\\p{2}\\p*|\\p+[aeiouyAEIOUY]{`}[aeiouA-Z]\\p*", 0, Then::Token),
    ("(?i)y{~}\\p", 1, Then::Token),
    ("(?i)n({`}|&apos;)t", 0, Then::Contraction),
    ("(?i)({~}|&apos;)([msd]|re|ve|ll)[^A-Za-z]", 1, Then::Contraction),
    ("'[A-Za-z][^\u{20}\u{a0}\t\n]", 2, Then::Nothing),
    ("(?i)({~}|&apos;)([msd]|re|ve|ll)", 0, Then::Contraction),
    // Addresses.
    ("(?i)https?://{URL}+{URLEND}", 0, Then::Token),
    ("((www\\.({HOST}\\.)+[a-zA-Z]{2,4})|(({HOST}\\.)+(com|net|org|edu)))(/{URL}+{URLEND})?", 0, Then::Token),
    ("(&lt;|<)?[A-Za-z0-9]{MAIL}*@({DOMAIN}+\\.)*{DOMAIN}+(&gt;|>)?", 0, Then::Token),
    ("@[A-Za-z_][A-Za-z_0-9]*|#{L}+", 0, Then::Token),
    // Numbers.
    ("\\d{1,2}[\\-/]\\d{1,2}[\\-/]\\d{2,4}", 0, Then::Token),
    ("[\\-+]?{NUM}", 0, Then::Token),
    (
        "[\u{207a}\u{207b}\u{208a}\u{208b}]?([\u{2070}\u{b9}\u{b2}\u{b3}\u{2074}-\u{2079}]+|[\u{2080}-\u{2089}]+)",
        0,
        Then::Token,
    ),
    ("(\\d{1,4}[\\- \u{a0}])?\\d{1,4}(\\\\?/|\u{2044})\\d{1,4}", 0, Then::Token),
    ("\u{bc}", 0, Then::Spelled("1/4")),
    ("\u{bd}", 0, Then::Spelled("1/2")),
    ("\u{be}", 0, Then::Spelled("3/4")),
    ("\u{2153}", 0, Then::Spelled("1/3")),
    ("\u{2154}", 0, Then::Spelled("2/3")),
    (
        "(\\([0-9]{2,3}\\){SPACE}?|(\\+\\+?)?([0-9]{2,4}[\\- \u{a0}])?[0-9]{2,4}[\\- \u{a0}])[0-9]{3,4}[\\- \u{a0}]?[0-9]{3,5}|((\\+\\+?)?[0-9]{2,4}\\.)?[0-9]{2,4}\\.[0-9]{3,4}\\.[0-9]{3,5}",
        0,
        Then::Bracketed,
    ),
    ("{~}[0-9][0-9][\u{20}\u{a0}\t\n]", 1, Then::Token),
    // Money.
    ("[A-Z]*\\$|#", 0, Then::Token),
    ("[\u{80}\u{a4}\u{20a0}\u{20ac}]", 0, Then::Spelled("$")),
    ("\u{a2}", 0, Then::Spelled("cents")),
    ("\u{a3}", 0, Then::Spelled("#")),
    // Abbreviations keep their period.
    ("(?i)({CUT})\\.", 0, Then::Token),
    ("({CASED})\\.", 0, Then::Token),
    // After these, a single letter does not belong to the word.
    ("(?i)({CUT}|ph\\.d|ed\\.d)\\.[^\n]", 1, Then::Token),
    ("({CASED})\\.[^\n]", 1, Then::Token),
    (
        "(?i)(a[dl]j|ad[mv]|alex|assoc|asst|atty|ave|brig|capt|cf|cie|cmdr|col|comdr|cpl|dept|det|drs?|elec|ens|ft|gen|govs?|hon|insp|invt\
         |jos|lieut|lt|maj|messrs|mlle|mme|mrs?|ms|msgr|mt|natl|pfc|ph|pres|profs?|pvt|reps?|rev|sens?|sfc|sgt|spc|ste?|supt|treas|vs|wm)\\.\
         |([Mm]fg|[Mm]tg)\\.",
        0,
        Then::Token,
    ),
    ("(?i)([a-z]|{ACRONYM}|ph\\.d|ed\\.d)\\.", 0, Then::Token),
    // Before a word that begins sentences, a letter's period ends one.
    ("[A-Za-z]\\.[\u{20}\u{a0}\t]+({STARTER})[\u{20}\u{a0}\t\n]", 0, Then::First(1)),
    ("(?i)(art|ca|figs?|nos?|op|pp|prop)\\.\\d", 1, Then::Token),
    ("(?i)(art|ca|figs?|nos?|op|pp|prop)\\. \\d", 2, Then::Token),
    ("({L}{W}*([.!?]{L}{W}*)*|{ELIDED}?{A}+({HYPHEN}{ELIDED}?{A}+)*)\\.[,;:\u{3001}]", 1, Then::Token),
    // Words.
    ("{L}{W}*([.!?]{L}{W}*)*", 0, Then::Token),
    (
        "(?i){A}+(\\.{A}+)*\\.(bat|bmp|c|cgi|class|cpp|dll|docx?|exe|gif|gz|h|html?|jar|java|jpe?g|mov|mp3|pdf|php|pl|png|ppt|ps|py|sql|tar|txt|wav|x|xml|zip)[\u{20}\u{a0}\t\n.?!,]",
        1,
        Then::Token,
    ),
    ("{ELIDED}?{A}+({HYPHEN}{ELIDED}?{A}+)*", 0, Then::Token),
    ("[A-Z]+(([+&]|&amp;)[A-Z]+)+", 0, Then::Joined),
    ("[A-Za-z0-9][A-Za-z0-9.,\u{ad}]*(-([A-Za-z0-9\u{ad}]+|({ACRONYM})\\.))+", 0, Then::Token),
    ("{SLASHED}(\\\\?/{SLASHED}){1,2}", 0, Then::Token),
    ("(?i){ACRONYM}|c\\+\\+|[cf]#|pro-|anti-|S(&|&amp;)P-500|S(&|&amp;)Ls", 0, Then::Token),
    // Faces.
    ("[<>]?[:;=][\\-o*']?[()DPdpO\\\\{@|\\[\\]][^A-Za-z0-9]", 1, Then::Bracketed),
    ("[\\^x=~<>]\\.[\\^x=~<>]_|{EYE}_{EYE}|\\({EYE}[_.]?{EYE}\\)|\\([\\^x=~<>']-[\\^x=~<>'`]\\)", 0, Then::Bracketed),
    // Signs.
    ("\\(", 0, Then::Spelled("-lrb-")),
    ("\\)", 0, Then::Spelled("-rrb-")),
    ("\\[", 0, Then::Spelled("-lsb-")),
    ("\\]", 0, Then::Spelled("-rsb-")),
    ("\\{", 0, Then::Spelled("-lcb-")),
    ("\\}", 0, Then::Spelled("-rcb-")),
    ("[!?]+|#+|_+|\\*+|(\\\\\\*){1,3}|@+|<<|>>|\u{2044}", 0, Then::Token),
    ("\"|&quot;|'{1,2}|&apos;", 0, Then::Nothing),
    ("[`\u{91}-\u{94}\u{2018}-\u{201f}\u{2039}\u{203a}\u{ab}\u{bb}]{1,2}", 0, Then::Quoted),
    ("-+|[.,:;]|\\.{3,5}|(\\.{SPACE}){2,4}\\.|\u{85}|\u{2026}", 0, Then::Nothing),
];
