"""Responses that judge the options one by one, `A: true`, `B is false`, or all of them at once."""

import re

from stages.verifiers.choices.options import is_wrong_asked, options_in

RIGHT = r"true|correct|right|valid|holds|yes|✓|✔|✅|√|☑|正确|对|成立|符合"
WRONG = (
    r"(?:is |are )?not (?:true|correct|right|valid)|false|incorrect|wrong|invalid|fails|no|✗|✘|❌|×"
    r"|错误|错|不正确|不对|不成立|不符合"
)
VERDICT = re.compile(
    r"[\s*•#-]{0,6}(?:option |statement |choice |选项)?[(（]?(?P<letter>[A-J])[)）]?(?:\s?选?项)?"
    r"[\s*:：.、)）-]{0,5}(?:is |are |为|是)?[\s*]{0,3}"
    rf"(?:(?P<wrong>{WRONG})|(?P<right>{RIGHT}))(?![a-z])(?P<why>.*)",
    re.IGNORECASE,
)
PARTS = re.compile(
    r"\n+|[;；。]\s*|(?<=[^A-J\d][.])\s+|[,，]\s*(?=(?:选项)?[(（]?[A-J][)）]?\s?(?:选?项|is|错|正|不|对))"
)
RULED_OUT = re.compile(
    r"(?:so |thus |hence |therefore |options? |choices? )*"
    r"((?:\(?[A-J]\)?(?:,? and |, ?|、|和)){1,8}\(?[A-J]\)?) "
    r"(?:can be|can all be|are|are all|have been) "
    r"(?:eliminated|ruled out|wrong|incorrect|false|excluded)",
    re.IGNORECASE,
)
MOST_PARTS = 80
LONGEST = 4000


def judged_letters(text: str, question: str) -> str | None:
    """The options that a response ends up calling right, where it judges every one of them.

    Where the question asks for what is wrong, those that it calls wrong. None: it doesn't judge
    them all, or has more to say afterwards.
    """
    options = options_in(question)
    parts = [part for part in PARTS.split(text[-LONGEST:]) if part.strip(" *_")][-MOST_PARTS:]
    found: list[tuple[str, bool]] = []
    for part in reversed(parts):
        match = VERDICT.fullmatch(part.strip())
        if match is None:
            break
        found.insert(0, (match["letter"].upper(), match["right"] is not None))
        if match["letter"].upper() == "A":
            break
    letters = [letter for letter, _ in found]
    if len(found) < 2 or letters != [chr(65 + at) for at in range(len(found))]:
        return None
    if options and len(found) != len(options):
        return None
    asked = not is_wrong_asked(question)
    chosen = [letter for letter, is_right in found if is_right is asked]
    return ", ".join(chosen) if chosen else None


def letter_left(sentence: str, question: str) -> str | None:
    """The only option that a sentence does not rule out; None: it rules out fewer."""
    match = RULED_OUT.fullmatch(sentence.strip(" .*"))
    if match is None or is_wrong_asked(question):
        return None
    letters = {chr(65 + at) for at in range(len(options_in(question)))}
    left = letters - set(re.findall("[A-J]", match[1]))
    return left.pop() if len(left) == 1 else None
