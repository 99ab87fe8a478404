"""The terms of radiology reports: for each concept its wordings, the first one canonical.

Adding a synonym is one entry. Wordings are matched word by word, without regard to case, hyphens,
slashes, plural endings and British or American spelling; the longest wording wins, so "thoracic
spine" is never a chest.
"""

from __future__ import annotations

from typing import Final

CONCEPTS: Final[dict[str, tuple[str, ...]]] = {
    "modality:X-ray": (
        "X-ray", "xray", "radiograph", "radiography", "radiographic", "plain film", "CXR",
        "chest film", "roentgenogram", "KUB",
    ),
    "modality:CT": (
        "CT", "CT scan", "computed tomography", "computed tomographic", "computerised tomography",
        "computerized tomography", "computer tomography", "CAT scan", "MDCT", "HRCT",
    ),
    "modality:MRI": (
        "MRI", "MR", "MRI scan", "magnetic resonance imaging", "magnetic resonance",
        "T1 weighted", "T2 weighted", "T1W", "T2W", "FLAIR", "DWI", "STIR", "MRCP",
    ),
    "modality:ultrasound": (
        "ultrasound", "ultrasonography", "ultrasonographic", "ultrasonogram", "sonography",
        "sonographic", "sonogram", "US", "Doppler",
    ),
    "modality:mammography": ("mammography", "mammographic", "tomosynthesis"),
    "modality:angiography": (
        "angiography", "angiogram", "angiographic", "arteriography", "arteriogram", "venography",
        "venogram", "digital subtraction angiography", "DSA",
    ),
    "modality:PET": ("PET", "positron emission tomography", "PET scan", "FDG PET"),
    "modality:scintigraphy": ("scintigraphy", "scintigraphic", "bone scan", "SPECT"),
    "modality:fluoroscopy": ("fluoroscopy", "fluoroscopic", "barium swallow", "barium enema"),
    "region:chest": ("chest", "thorax", "thoracic", "lung", "pulmonary", "mediastinum",
                     "mediastinal"),
    "region:abdomen": ("abdomen", "abdominal", "liver", "hepatic", "kidney", "renal", "pancreas",
                       "pancreatic", "head of the pancreas", "pancreatic head", "spleen",
                       "splenic", "bowel", "gallbladder", "stomach"),
    "region:pelvis": ("pelvis", "pelvic", "uterus", "uterine", "ovary", "ovarian", "prostate",
                      "prostatic", "urinary bladder", "bladder"),
    "region:head": ("head", "brain", "skull", "cranial", "cranium", "cerebral", "intracranial",
                    "orbit"),
    "region:neck": ("neck", "thyroid"),
    "region:spine": ("spine", "spinal", "vertebra", "vertebral", "lumbar", "lumbar spine",
                     "thoracic spine", "cervical spine", "vertebrae"),
    "region:breast": ("breast", "mammary"),
    "region:heart": ("heart", "cardiac", "left ventricle", "right ventricle", "left atrium",
                     "right atrium", "coronary", "mitral", "aortic valve"),
    "region:shoulder": ("shoulder", "clavicle", "scapula", "humeral head"),
    "region:arm": ("arm", "elbow", "humerus", "forearm", "upper limb"),
    "region:hand": ("hand", "wrist", "finger"),
    "region:hip": ("hip", "femoral head", "femoral neck", "hip joint"),
    "region:knee": ("knee", "patella"),
    "region:leg": ("leg", "thigh", "femur", "tibia", "lower limb"),
    "region:foot": ("foot", "feet", "ankle", "heel"),
    "region:teeth": ("teeth", "tooth", "dental", "mandible", "mandibular", "maxilla", "jaw"),
    "view:posteroanterior": ("posteroanterior", "PA", "postero anterior"),
    "view:anteroposterior": ("anteroposterior", "AP", "antero posterior"),
    "view:lateral": ("lateral view", "lateral projection", "lateral film"),
    "view:oblique": ("oblique view", "oblique projection"),
    "view:panoramic": ("panoramic", "panorex"),
    "plane:axial": ("axial", "transaxial", "axial plane", "transverse plane", "transverse view",
                    "transverse section", "transverse image", "transverse scan"),
    "plane:coronal": ("coronal",),
    "plane:sagittal": ("sagittal", "midsagittal"),
    "side:left": ("left", "left sided", "left side"),
    "side:right": ("right", "right sided", "right side"),
    "side:bilateral": ("bilateral", "bilaterally", "both sides"),
    "contrast": ("contrast-enhanced", "with contrast", "post-contrast", "with intravenous contrast",
                 "with IV contrast", "contrast enhancement", "after contrast",
                 "gadolinium-enhanced", "contrast medium"),
    "no contrast": ("without contrast", "non-contrast", "unenhanced", "non-enhanced",
                    "noncontrast", "precontrast"),
    "finding:pneumonia": ("pneumonia", "pneumonic", "bronchopneumonia", "pnuemonia"),
    "finding:effusion": ("effusion", "pleural effusion", "hydrothorax"),
    "finding:infiltration": ("infiltration", "infiltrate"),
    "finding:consolidation": ("consolidation", "airspace consolidation", "consolidative"),
    "finding:atelectasis": ("atelectasis", "atelectatic", "atelectases"),
    "finding:oedema": ("oedema",),
    "finding:pneumothorax": ("pneumothorax", "pneumothoraces"),
    "finding:nodule": ("nodule", "nodular lesion"),
    "finding:mass": ("mass",),
    "finding:benign mass": ("benign mass", "benign lesion", "benign tumour", "benign nodule",
                            "fibroadenoma"),
    "finding:malignant mass": ("malignant mass", "malignant lesion", "malignant tumour",
                               "malignant nodule"),
    "finding:cardiomegaly": ("cardiomegaly", "enlarged heart", "enlarged cardiac silhouette"),
    "finding:emphysema": ("emphysema", "emphysematous"),
    "finding:fibrosis": ("fibrosis", "fibrotic change"),
    "finding:pleural thickening": ("pleural thickening",),
    "finding:hernia": ("hernia", "hiatal hernia", "hiatus hernia"),
    "finding:fracture": ("fracture", "fractured"),
    "finding:haemorrhage": ("haemorrhage", "haemorrhagic", "haematoma", "bleeding"),
    "finding:infarct": ("infarct", "infarction", "ischaemic stroke"),
    "finding:tumour": ("tumour", "neoplasm", "carcinoma", "adenocarcinoma", "cancer"),
    "finding:metastasis": ("metastasis", "metastases", "metastatic"),
    "finding:cyst": ("cyst", "cystic lesion", "cystic"),
    "finding:calcification": ("calcification", "calcified", "microcalcification"),
    "finding:stone": ("stone", "calculus", "calculi", "gallstone"),
    "finding:abscess": ("abscess", "abscesses"),
    "finding:aneurysm": ("aneurysm", "pseudoaneurysm"),
    "finding:stenosis": ("stenosis", "stenotic", "stenoses"),
    "finding:lymphadenopathy": ("lymphadenopathy", "adenopathy", "enlarged lymph node"),
    "normal": (
        "no finding", "no findings", "no abnormality", "no abnormalities", "no abnormal finding",
        "no abnormal findings", "no acute abnormality", "normal breast tissue", "normal tissue",
        "normal anatomy", "normal study", "normal scan", "normal examination", "normal image",
        "normal appearance", "unremarkable", "healthy",
    ),
    "sex:female": ("woman", "women", "female", "lady", "girl"),
    "sex:male": ("man", "men", "male", "gentleman", "boy"),
}  # fmt: skip

COMPOUNDS: Final[dict[str, tuple[str, ...]]] = {
    "mammogram": ("modality:mammography", "region:breast"),
    "echocardiography": ("modality:ultrasound", "region:heart"),
    "echocardiogram": ("modality:ultrasound", "region:heart"),
    "echocardiographic": ("modality:ultrasound", "region:heart"),
    "CTA": ("modality:CT", "modality:angiography"),
    "CT angiography": ("modality:CT", "modality:angiography"),
    "CT angiogram": ("modality:CT", "modality:angiography"),
    "CTPA": ("modality:CT", "modality:angiography", "region:chest"),
    "CT pulmonary angiography": ("modality:CT", "modality:angiography", "region:chest"),
    "MRA": ("modality:MRI", "modality:angiography"),
    "MR angiography": ("modality:MRI", "modality:angiography"),
    "CECT": ("modality:CT", "contrast"),
    "NCCT": ("modality:CT", "no contrast"),
    "orthopantomogram": ("modality:X-ray", "view:panoramic", "region:teeth"),
    "OPG": ("modality:X-ray", "view:panoramic", "region:teeth"),
    "lateral chest radiograph": ("modality:X-ray", "view:lateral", "region:chest"),
    "lateral chest X-ray": ("modality:X-ray", "view:lateral", "region:chest"),
    "lateral radiograph": ("modality:X-ray", "view:lateral"),
    "lateral X-ray": ("modality:X-ray", "view:lateral"),
    "oblique radiograph": ("modality:X-ray", "view:oblique"),
    "oblique X-ray": ("modality:X-ray", "view:oblique"),
    "plain CT": ("modality:CT", "no contrast"),
    "lateral chest": ("view:lateral", "region:chest"),
    "bilateral pleural effusion": ("side:bilateral", "finding:effusion"),
    "unremarkable chest radiograph": ("normal", "modality:X-ray", "region:chest"),
}
"""Wordings that state several things at once."""

CAPITALS_ONLY: Final = frozenset({"us"})
"""Abbreviations that are another word where they are not in capitals."""

SPELLING_PARTS: Final = (
    ("oedema", "edema"), ("tumour", "tumor"), ("haem", "hem"), ("aemi", "emi"), ("oesoph", "esoph"),
    ("paed", "ped"), ("fibre", "fiber"), ("colour", "color"), ("centre", "center"),
)  # fmt: skip
"""British and American spellings inside a word: brought to the American one for matching."""

GRAMMAR: Final[dict[str, tuple[str, ...]]] = {
    "neg": (
        "no", "not", "without", "neither", "never", "no evidence of", "no sign of", "no signs of",
        "without evidence of", "absence of", "free of", "negative for", "no definite",
        "rather than",
    ),
    "neg after": (
        "not seen", "not visible", "not present", "not identified", "is absent", "are absent",
        "is not seen", "excluded", "ruled out",
    ),
    "hedge": (
        "possible", "possibly", "probable", "probably", "likely", "suspected", "suspicious for",
        "suspicious of", "suspicion of", "suggestive of", "suggesting", "suggests",
        "consistent with", "compatible with", "concerning for", "indicative of", "rule out",
        "to exclude", "evaluate for", "versus", "vs", "mimicking", "history of", "after",
        "following", "status post", "prior", "previous", "resolved", "resolution of",
        "resolving", "removal of", "resection of", "resected", "treated", "treatment of",
        "differential diagnosis", "cannot exclude", "may represent", "risk of",
    ),
    "or": ("or", "nor"),
    "and": ("and", "plus", "as well as"),
    "article": ("a", "an", "the"),
    "with": (
        "with", "showing", "shows", "show", "demonstrating", "demonstrates", "revealing",
        "reveals", "depicting", "depicts", "displaying", "but", "however", "although", "there is",
        "there are", "indicating",
    ),
    "normal alone": ("normal",),
    "copula": ("is", "are", "was", "were", "appears", "appear"),
    "age": ("year old", "years old", "year", "years", "yo", "y o", "yr old"),
    "aged": ("aged", "age"),
    "neutral": (
        "mass effect", "body mass", "high resolution", "lateral", "scan", "C arm", "hand side",
        "other hand", "AP diameter", "PA pressure", "AP window",
        *(
            "generate create make draw synthesise synthesize produce please image images picture "
            "pictures view views of in on at to from for by it its this that these those as be "
            "being patient patients person adult case figure fig section slice slices plane "
            "projection film study examination exam imaging scans weighted sequence seen "
            "present visible shown side sides sided i me we want need using per during which "
            "who his her tissue one two both"
        ).split(),
    ),
}  # fmt: skip
"""Words that steer the reading and name nothing; none of them counts as ignored."""
