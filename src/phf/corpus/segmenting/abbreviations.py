"""Words that hold a dot and do not end a sentence, by language, from the tokenizer exceptions of spaCy 3 (MIT licence)."""

import string


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LETTERS = frozenset(f"{letter}." for letter in string.ascii_lowercase + "äöü")
_HOURS = frozenset(f"{hour}{half}" for hour in range(1, 13) for half in ("a.m.", "p.m."))

_ENGLISH = _words(
    """
    Adm. Ak. Ala. Apr. Ariz. Ark. Aug. Bros. Calif. Co. Colo. Conn. Corp. D.C. Dec. Del. Dr. E.G. E.g. Feb. Fla.
    Ga. Gen. Gov. I.E. I.e. Ia. Id. Ill. Inc. Ind. Jan. Jr. Jul. Jun. Kan. Kans. Ky. La. Ltd. Mar. Mass. Md.
    Messrs. Mich. Minn. Miss. Mo. Mont. Mr. Mrs. Ms. Mt. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct.
    Okla. Ore. Pa. Ph.D. Prof. Rep. Rev. S.C. Sen. Sep. Sept. St. Tenn. Va. Wash. Wis. a.m. co. e.g. i.e. p.m.
    v.s. vs.
    """
)
CONTRACTIONS = frozenset(
    word
    for lower in _words(
        "hed hes howd hows id im ima i'ma i’ma itd shes thatd thats thered theres thesed theyd thisd thiss thosed wed whatd "
        "whats whend whens whered wheres whod whos whyd whys youd"
    )
    for word in (lower, lower.capitalize())
)
"""English words whose last letter is a token of its own to spaCy (he 'd): with a dot after it, an abbreviation."""
_GERMAN = _words(
    """
    A.C. A.D. A.G. Abb. Abk. Abs. Abt. Apr. Aug. B.A. B.Sc. Bd. Betr. Bf. Bhf. Biol. Bsp. Chr. Cie. Co. D.C. Dez.
    Di. Dipl. Dipl.-Ing. Do. Dr. Fa. Fam. Feb. Fr. Frl. G.m.b.H. Gebr. Hbf. Hg. Hr. Hrn. Hrsg. I. II. III. IV.
    Inc. Ing. Jan. Jh. Jhd. Jr. Jul. Jun. K.O. L.A. M.A. M.Sc. Mi. Mio. Mo. Mr. Mrd. Mrz. MwSt. Mär. N.Y. N.Y.C.
    Nov. Nr. O.K. Okt. Orig. P.S. Pkt. Prof. R.I.P. Red. Sa. Sep. Sept. So. St. Std. Str. Tel. Tsd. U.S. U.S.A.
    U.S.S. Univ. Vol. a.D. a.M. a.Z. abzgl. adv. al. allg. betr. biol. bspw. bzgl. bzw. ca. co. d.h. dgl. e.V.
    e.g. ebd. ehem. eigtl. engl. entspr. erm. etc. ev. evtl. frz. geb. gegr. gem. ggf. ggfs. ggü. h.c. hrsg. i.A.
    i.G. i.O. i.Tr. i.V. i.d.R. i.e. incl. inkl. insb. jr. jun. jur. kath. lat. lt. m.E. m.M. max. min. mind. mtl.
    n.Chr. nat. o.a. o.g. o.k. o.ä. orig. p.a. p.s. pers. phil. q.e.d. rer. röm. s.o. sen. sog. std. stellv. tägl.
    u.U. u.a. u.s.w. u.v.m. usf. usw. uvm. v.Chr. v.a. v.l.n.r. vgl. vllt. vlt. vs. wiss. z.B. z.Bsp. z.T. z.Z.
    z.Zt. z.b. zzgl. österr.
    """
)
_SPANISH = _words(
    """
    12m. Av. Avda. Cía. Dr. Dra. EE.UU. Ee.Uu. Gob. Gral. Ing. J.C. Lic. P.D. Prof. Profa. Q.E.P.D. S.A. S.L.
    S.R.L. Sr. Sra. Srta. Ud. Uds. Vd. Vds. a.C. a.J.C. apdo. aprox. d.C. d.J.C. dna. dpto. ej. esq. etc. fig.
    m.n. núm. p.ej. pág. q.e.p.d. s.s.s. vol.
    """
)
_FRENCH = _words(
    """
    Dr. J.-C. M. MM. Mlle. Mme. Mr. No. St. Ste. Vol. apr. av. avr. cf. déc. etc. févr. janv. juill. nov. oct. pp.
    sept.
    """
)

ABBREVIATIONS: dict[str, frozenset[str]] = {
    "en": _LETTERS | _HOURS | _ENGLISH,
    "de": _LETTERS | _GERMAN,
    "es": _LETTERS | _HOURS | _SPANISH,
    "fr": _LETTERS | _FRENCH,
    "xx": _LETTERS,
}
"""Language -> its abbreviations; "xx": any language."""

EMOTICONS = _words(
    """
    (*_*) (-8 (-: (-; (-_-) (._.) (: (; (= (>_<) (^_^) (o: (¬_¬) (ಠ_ಠ) (╯°□°）╯︵┻━┻ )-: ): -_- -__- ._. 0.0 0.o 0_0
    0_o 8) 8-) 8-D 8D :'( :') :'-( :'-) :( :(( :((( :() :) :)) :))) :* :-( :-(( :-((( :-) :-)) :-))) :-* :-/ :-0
    :-3 :-> :-D :-O :-P :-X :-] :-o :-p :-x :-| :-} :/ :0 :1 :3 :> :D :O :P :X :] :o :o) :p :x :| :} ;) ;-) ;-D ;D
    ;_; <.< </3 <3 <33 <333 =( =) =/ =3 =D =[ =] =| >.< >.> >:( >:o ><(((*> @_@ O.O O.o O_O O_o V.V V_V XD XDD [-:
    [: [= ]= ^_^ ^__^ ^___^ o.0 o.O o.o o_0 o_O o_o v.v v_v xD xDD ಠ_ಠ ಠ︵ಠ
    """
)
