"""What the page cites: the one list of works, each with its page at DOI or arXiv, to which a mention of it links."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

WORKS = {
    "Clevert et al. 2016": "https://arxiv.org/abs/1511.07289",
    "He et al. 2015": "https://arxiv.org/abs/1502.01852",
    "He et al. 2016": "https://doi.org/10.1109/CVPR.2016.90",
    "Hendrycks and Gimpel 2016": "https://arxiv.org/abs/1606.08415",
    "Ioffe and Szegedy 2015": "https://arxiv.org/abs/1502.03167",
    "Klambauer et al. 2017": "https://arxiv.org/abs/1706.02515",
    "Mishkin et al.": "https://doi.org/10.1016/j.cviu.2017.05.007",
    "Santurkar et al. 2018": "https://arxiv.org/abs/1805.11604",
    "Schoenholz et al. 2017": "https://arxiv.org/abs/1611.01232",
    "Shazeer 2020": "https://arxiv.org/abs/2002.05202",
    "Xu et al. 2015": "https://arxiv.org/abs/1505.00853",
    "Zhang, Botev & Martens 2022": "https://arxiv.org/abs/2203.08120",
}
"""As the claims files cite them: authors and, where it is given, the year."""
CITED = re.compile(rf"({'|'.join(map(re.escape, WORKS))})" r"|arXiv:(\d{4}\.\d{4,5})|doi:(10\.\d{4,9}/[^\s,;)]+)")


def cited(text: str) -> Markup:
    """The text with links at the works that it names and, for works of one's own, at arXiv's and DOI's numbers."""
    parts, end = [], 0
    for found in CITED.finditer(text):
        work, arxiv, doi = found.groups()
        address = WORKS[work] if work else f"https://arxiv.org/abs/{arxiv}" if arxiv else f"https://doi.org/{doi}"
        parts += [escape(text[end : found.start()]), Markup('<a href="{}">{}</a>').format(address, found[0])]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])
