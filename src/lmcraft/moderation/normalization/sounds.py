"""Chinese by sound: the syllable of each character, without its tone.

The characters of GB 2312's first level, which make up over 99% of modern text, are sorted by their reading in Mandarin, and
Python's codec knows their order. So the first character of each syllable is enough to tell the reading of them all.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lmcraft.moderation.normalization.characters import NUM_CODE_POINTS
from lmcraft.moderation.normalization.plain import to_codes, to_text
from lmcraft.moderation.normalized_text import View

FIRST_SOUND = 0xE000
"""The private-use character of the first syllable in a view of sounds."""
FIRST_CHARACTERS = (
    "a啊 ai埃 an鞍 ang肮 ao凹 ba芭 bai白 ban斑 bang邦 bao苞 bei杯 ben奔 beng崩 bi逼 bian鞭 biao标 bie鳖 bin彬 bing兵 bo玻 bu捕 "
    "ca擦 cai猜 can餐 cang苍 cao操 ce厕 ceng层 cha插 chai拆 chan搀 chang昌 chao超 che车 chen郴 cheng撑 chi吃 chong充 chou抽 "
    "chu初 chuai揣 chuan川 chuang疮 chui吹 chun春 chuo戳 ci疵 cong聪 cou凑 cu粗 cuan蹿 cui摧 cun村 cuo磋 da搭 dai呆 dan耽 "
    "dang当 dao刀 de德 deng蹬 di堤 dian颠 diao碉 die跌 ding丁 diu丢 dong东 dou兜 du督 duan端 dui堆 dun墩 duo掇 e蛾 en恩 er而 "
    "fa发 fan藩 fang坊 fei菲 fen芬 feng丰 fo佛 fou否 fu夫 ga噶 gai该 gan干 gang冈 gao篙 ge哥 gei给 gen根 geng耕 gong工 gou钩 "
    "gu辜 gua刮 guai乖 guan棺 guang光 gui瑰 gun辊 guo锅 ha哈 hai骸 han酣 hang夯 hao壕 he呵 hei嘿 hen痕 heng哼 hong轰 hou喉 "
    "hu呼 hua花 huai槐 huan欢 huang荒 hui灰 hun荤 huo豁 ji击 jia嘉 jian歼 jiang僵 jiao蕉 jie揭 jin巾 jing荆 jiong炯 jiu揪 ju鞠 "
    "juan捐 jue撅 jun均 ka喀 kai开 kan刊 kang康 kao考 ke坷 ken肯 keng坑 kong空 kou抠 ku枯 kua夸 kuai块 kuan宽 kuang匡 kui亏 "
    "kun坤 kuo括 la垃 lai莱 lan蓝 lang琅 lao捞 le勒 lei雷 leng棱 li厘 lia俩 lian联 liang粮 liao撩 lie列 lin琳 ling玲 liu溜 "
    "long龙 lou楼 lu芦 lv驴 luan峦 lve掠 lun抡 luo萝 ma妈 mai埋 man瞒 mang芒 mao猫 me么 mei玫 men门 meng萌 mi眯 mian棉 miao苗 "
    "mie蔑 min民 ming明 miu谬 mo摸 mou谋 mu拇 na拿 nai氖 nan南 nang囊 nao挠 ne呢 nei馁 nen嫩 neng能 ni妮 nian蔫 niang娘 niao鸟 "
    "nie捏 nin您 ning柠 niu牛 nong脓 nu奴 nv女 nuan暖 nve虐 nuo挪 o哦 ou欧 pa啪 pai拍 pan攀 pang乓 pao抛 pei呸 pen喷 peng砰 "
    "pi坯 pian篇 piao飘 pie撇 pin拼 ping乒 po坡 pou剖 pu扑 qi期 qia掐 qian牵 qiang枪 qiao橇 qie切 qin钦 qing青 qiong琼 qiu秋 "
    "qu趋 quan圈 que缺 qun裙 ran然 rang瓤 rao饶 re惹 ren壬 reng扔 ri日 rong戎 rou揉 ru茹 ruan软 rui蕊 run闰 ruo若 sa撒 sai腮 "
    "san三 sang桑 sao搔 se瑟 sen森 seng僧 sha莎 shai筛 shan珊 shang墒 shao梢 she奢 shen砷 sheng声 shi师 shou收 shu蔬 shua刷 "
    "shuai摔 shuan栓 shuang霜 shui谁 shun吮 shuo说 si斯 song松 sou搜 su苏 suan酸 sui虽 sun孙 suo蓑 ta塌 tai胎 tan坍 tang汤 "
    "tao掏 te特 teng藤 ti梯 tian天 tiao挑 tie贴 ting厅 tong通 tou偷 tu凸 tuan湍 tui推 tun吞 tuo拖 wa挖 wai歪 wan豌 wang汪 "
    "wei威 wen瘟 weng嗡 wo挝 wu巫 xi昔 xia瞎 xian掀 xiang相 xiao萧 xie楔 xin薪 xing星 xiong兄 xiu休 xu墟 xuan轩 xue靴 xun勋 "
    "ya压 yan焉 yang殃 yao邀 ye椰 yi一 yin茵 ying英 yo哟 yong拥 you幽 yu迂 yuan鸳 yue曰 yun耘 za匝 zai栽 zan咱 zang赃 zao遭 "
    "ze责 zei贼 zen怎 zeng增 zha扎 zhai摘 zhan瞻 zhang樟 zhao招 zhe遮 zhen珍 zheng蒸 zhi芝 zhong中 zhou舟 zhu珠 zhua抓 zhuai拽 "
    "zhuan专 zhuang桩 zhui椎 zhun谆 zhuo捉 zi兹 zong鬃 zou邹 zu租 zuan钻 zui嘴 zun尊 zuo昨"
)
# Readings that the order does not tell: characters with two, and some beyond the first level.
OTHER_READINGS = (
    "bi屄妣婢嬖笔辟 biao婊 cao肏艹 diao屌 pi辟屁 piao嫖 ma蚂嬷 sha傻厦鲨煞 chang娼 ji髻鷄 ya丫 le了 zhe着 shen什 zi仔 hai还 "
    "ba粑叭 bo剥泊 qie茄 chu畜 xue削 yao钥 si似伺 zha咋 zhua爪 ceng曾 ju桔 ya轧 ni伲旎 nai艿 shi屎 e屙 gui龟 sao骚臊 yin淫 jian奸贱 "
    "tuo坨 bing屏 nao瑙 can掺 jue嚼"
)
HAN = "\u3400-\u9fff\U00020000-\U000323af"
LATIN_BESIDE_HAN = re.compile(f"(?<=[{HAN}])[a-z]{{2,24}}|[a-z]{{2,24}}(?=[{HAN}])")
WORDS_OF_OTHER_LANGUAGES = frozenset({"made"})


def hear(view: View) -> View | None:
    """A view with each character's syllable instead of it, one private-use character each; None if no character has one."""
    codes = to_codes(view.text)
    sounds = _sound_table()[codes]
    if not (sounds != codes).any():
        return None
    starts, stops = np.arange(len(codes) + 1), np.arange(1, len(codes) + 1)
    keep = np.ones(len(codes) + 1, dtype=bool)
    for match in LATIN_BESIDE_HAN.finditer(view.text):
        syllables = split_pinyin(match[0])
        if syllables:
            start, stop = match.start(), match.start() + len(syllables)
            sounds[start:stop] = to_codes(syllables)
            keep[stop : match.end()] = False
            starts[start:stop], stops[start:stop] = start, match.end()
    if keep.all():
        return View("pinyin", to_text(sounds), view.offsets)
    offsets = np.arange(len(codes) + 1) if view.offsets is None else view.offsets
    ends = (offsets[stops - 1] + 1)[keep[:-1]]
    return View("pinyin", to_text(sounds[keep[:-1]]), offsets[starts[keep]].astype(np.int32), ends.astype(np.int32))


def to_sounds(term: str) -> str:
    """A Chinese term of the plain view as it stands in a view of sounds; "" if the reading of a character is not known."""
    codes = to_codes(term)
    sounds = _sound_table()[codes]
    return "" if (sounds == codes).any() else to_text(sounds)


def latin_pinyin(term: str) -> tuple[str, ...]:
    """A Chinese term of the plain view in Latin letters, in one word and in several; () if one of them means something else."""
    sounds = to_sounds(term)
    if len(sounds) < 2:
        return ()
    names = [_syllables()[ord(sound) - FIRST_SOUND] for sound in sounds]
    spellings = ("".join(names), " ".join(names))
    with_u = [spelling.replace("v", "u") for spelling in spellings if "v" in spelling]
    return () if spellings[0] in WORDS_OF_OTHER_LANGUAGES else (*spellings, *with_u)


def split_pinyin(letters: str) -> str:
    """The syllables of a word in pinyin, as in a view of sounds; "" if it is none."""
    for cut in range(min(6, len(letters)), 0, -1):
        sound = _sounds_by_name().get(letters[:cut])
        if sound is not None:
            if cut == len(letters):
                return sound
            rest = split_pinyin(letters[cut:])
            if rest:
                return sound + rest
    return ""


@cache
def _syllables() -> tuple[str, ...]:
    return tuple(entry[:-1] for entry in FIRST_CHARACTERS.split())


@cache
def _sounds_by_name() -> dict[str, str]:
    return {name: chr(FIRST_SOUND + index) for index, name in enumerate(_syllables())}


@cache
def _sound_table() -> NDArray[np.uint32]:
    table = np.arange(NUM_CODE_POINTS, dtype=np.uint32)
    firsts = [entry[-1].encode("gb2312") for entry in FIRST_CHARACTERS.split()]
    for char in _first_level():
        table[ord(char)] = FIRST_SOUND + bisect_right(firsts, char.encode("gb2312")) - 1
    for entry in OTHER_READINGS.split():
        name = entry.rstrip("".join(char for char in entry if not char.isascii()))
        for char in entry[len(name) :]:
            table[ord(char)] = ord(_sounds_by_name()[name])
    return table


def _first_level() -> Iterator[str]:
    for row in range(0xB0, 0xD8):
        for column in range(0xA1, 0xFF):
            if (row, column) <= (0xD7, 0xF9):
                yield bytes((row, column)).decode("gb2312")
