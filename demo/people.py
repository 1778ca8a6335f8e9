"""Invented people: names from short lists, and numbers that no telephone has."""

from demo.assumptions import assumed
from demo.scaling import Scale

SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘于蒋蔡"
    "余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙"
)
GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红建文志国春梅林海波宁贵福生龙元"
    "全胜学祥才发武新利清飞彬富顺信子昌成康星光天达安岩中茂进有坚和彪博诚先敬震振壮会思群"
)
PHONE_SPAN = 10_000_000
STRIDE = 7_654_321
"""Prime to the span, so that numbers in a row of customers are far apart and never meet."""


def people(scale: Scale, count: int) -> tuple[list[str], list[str]]:
    """(names, phone numbers) of so many customers; numbers are unique, names need not be. Those of
    the first are the same at every scale and seed, so that a look-up has something to find."""
    draw = scale.random("people")
    prefix: str = assumed("people-are-invented")["phone_prefix"]
    surnames, given = draw.choices(SURNAMES, k=count), draw.choices(GIVEN, k=count)
    second = draw.choices(["", *GIVEN], [len(GIVEN) // 4, *[1] * len(GIVEN)], k=count)
    names = [
        first + middle + last for first, last, middle in zip(surnames, given, second, strict=True)
    ]
    phones = [f"{prefix}{(1 + STRIDE * n) % PHONE_SPAN:07d}" for n in range(count)]
    return names, phones
