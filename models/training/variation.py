"""Variants of a ticket that mean the same: the model sees another one in every epoch, and learns what does not matter.

Spelling, a greeting, a closing, order numbers and first names. Nothing here may change what a reader would label.
"""

import random
import re

# How often each kind of change is made; they are independent of each other.
TYPOS, GREETING, CLOSING, NUMBERS, NAMES = 0.20, 0.12, 0.12, 0.5, 0.5
# Of the letters of a text that gets typos.
TYPO_SHARE = 0.025

FIRST_NAMES = (
    "Adaeze Ahmed Aisha Akira Alejandro Alice Amir Ana Andrei Anna Arjun Ben Bilal Bongani Carlos Carmen Charlotte Chen Chloe "
    "Claire Daniel David Deepika Dmitri Elena Emeka Emily Emma Eric Fatima Fiona Francesca George Giulia Hannah Hans "
    "Hassan Helen Hiroshi Ibrahim Ingrid Isabel Ivan Jack James Jamal Jane Javier Jennifer Jin John Jorge Julia Kai Karen "
    "Kate Kavita Keisha Kevin Kwame Lars Laura Leila Li Linda Lucy Luis Magda Maria Marta Mary Mei Michael Miguel Mina "
    "Mohammed Musa Nadia Natasha Ngozi Nikos Noor Olga Oliver Omar Patrick Paul Pedro Peter Petra Priya Rachel Rahul Ravi "
    "Rebecca Robert Rosa Ruth Ryan Sam Samira Sandra Sanjay Sara Sarah Sean Sergei Simon Sofia Sophie Stefan Steve Sunita "
    "Susan Svetlana Tamika Thabo Thomas Tom Tomasz Uma Wei Yasmin Yuki Yusuf Zainab Zoe"
).split()
SURNAMES = (
    "Abbott Adeyemi Ali Andersson Baker Becker Castillo Chaudhry Cohen Costa Dlamini Evans Fernandez Fischer Garcia Haddad "
    "Huang Ito Ivanov Jones Kaur Kim Kowalski Lopez Mbeki Moreau Murphy Nguyen Novak Okafor Patel Petrov Reyes Rossi Sato "
    "Schmidt Shah Silva Tan Turner Walsh Wilson Yilmaz Zhang"
).split()
GREETINGS = (
    "hi", "Hi,", "hello", "Hello,", "Hello there,", "Hi team,", "Dear team,", "Dear Sir or Madam,", "Good morning,",
    "Good afternoon.", "good evening", "Hey,", "hey there", "To whom it may concern,", "Dear support,", "Greetings,",
)  # fmt: skip
CLOSINGS = (
    "Regards,", "Kind regards,", "Best,", "Best regards,", "Yours sincerely,", "Yours faithfully,", "Cheers,", "Thanks,",
    "Thank you,", "Many thanks,", "rgds", "Sent from my phone", "Sincerely,", "Thanks in advance,",
)  # fmt: skip
GREETED = re.compile(r"\s*(hi|hey|hello|dear|good (morning|afternoon|evening)|greetings|to whom)\b", re.IGNORECASE)
NAME = re.compile(rf"\b({'|'.join(FIRST_NAMES)})\b")
NUMBER = re.compile(r"\d{4,}")


def varied(subject: str, text: str, generator: random.Random) -> str:
    """One variant of a ticket, as the encoder is shown it: the subject, a line break, the message."""
    # What is one name or number stays one.
    if generator.random() < NAMES:
        names = {name: generator.choice(FIRST_NAMES) for name in sorted({*NAME.findall(subject), *NAME.findall(text)})}
        subject, text = (NAME.sub(lambda found: names[found.group()], part) for part in (subject, text))
    if generator.random() < NUMBERS:
        numbers = {
            number: _other_number(number, generator)
            for number in sorted({*NUMBER.findall(subject), *NUMBER.findall(text)})
        }
        subject, text = (NUMBER.sub(lambda found: numbers[found.group()], part) for part in (subject, text))
    if generator.random() < TYPOS:
        text = _mistyped(text, generator)
    if generator.random() < GREETING and not GREETED.match(text):
        text = generator.choice(GREETINGS) + generator.choice((" ", "\n", "\n\n")) + text
    if generator.random() < CLOSING:
        closing = generator.choice(CLOSINGS)
        signed = generator.choice((generator.choice(FIRST_NAMES), f"{generator.choice(FIRST_NAMES)} {generator.choice(SURNAMES)}"))
        text = f"{text}\n\n{closing}\n{signed}" if generator.random() < 0.8 else f"{text} {closing}"
    return f"{subject}\n{text}" if subject else text


def _other_number(digits: str, generator: random.Random) -> str:
    # A year or a time of day says something.
    if len(digits) == 4 and digits < "2400":
        return digits
    return digits[0] + "".join(generator.choice("0123456789") for _ in digits[1:])


def _mistyped(text: str, generator: random.Random) -> str:
    letters = list(text)
    for index in range(len(letters) - 1):
        if letters[index].isalpha() and letters[index + 1].isalpha() and generator.random() < TYPO_SHARE:
            kind = generator.randrange(3)
            if kind == 0:
                letters[index], letters[index + 1] = letters[index + 1], letters[index]
            elif kind == 1:
                letters[index] = ""
            else:
                letters[index] *= 2
    return "".join(letters)
