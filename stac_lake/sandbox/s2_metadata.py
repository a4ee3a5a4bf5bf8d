"""The two metadata files of a Sentinel-2 L1C product that readers use, in ESA's layout.

`MTD_MSIL1C.xml` (PSD-14) has the baseline, the quantification value and the radiometric offsets;
`MTD_TL.xml` the tile's grid and its sun and viewing angles.
"""

from __future__ import annotations

from datetime import datetime

from stac_lake.sandbox.documents.s2_names import granule_folder
from stac_lake.sandbox.fields import S2_BANDS
from stac_lake.sandbox.scene import SandboxScene

# W/m²/µm, S2A, from the MTD_MSIL1C.xml of recorded products; bandId is the position.
_IRRADIANCE = (
    1884.69, 1959.66, 1823.24, 1512.06, 1424.64, 1287.61, 1162.08, 1041.63, 955.32, 812.92,
    367.15, 245.59, 85.25,
)  # fmt: skip
_SPACECRAFT = {"S2A": "Sentinel-2A", "S2B": "Sentinel-2B"}


def product_xml(scene: SandboxScene) -> str:
    """`MTD_MSIL1C.xml` of a scene."""
    facts = scene.facts
    start, generated = _time(facts["datatake_start"]), _time(facts["generation_time"])
    offsets = "\n".join(
        f'<RADIO_ADD_OFFSET band_id="{n}">-1000</RADIO_ADD_OFFSET>' for n in range(13)
    )
    # Baselines before 04.00 have no offsets and no list of them.
    listed = f"<Radiometric_Offset_List>\n{offsets}\n</Radiometric_Offset_List>"
    irradiance = "\n".join(
        f'<SOLAR_IRRADIANCE bandId="{n}" unit="W/m²/µm">{value}</SOLAR_IRRADIANCE>'
        for n, value in enumerate(_IRRADIANCE)
    )
    images = "\n".join(
        f"<IMAGE_FILE>GRANULE/{granule_folder(scene)}/IMG_DATA/{_image_stem(scene)}_{band}</IMAGE_FILE>"
        for band in S2_BANDS
    )
    uri = "https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-1C.xsd"
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-1C_User_Product xmlns:n1="{uri}">
<n1:General_Info>
<Product_Info>
<PRODUCT_START_TIME>{start}</PRODUCT_START_TIME>
<PRODUCT_STOP_TIME>{start}</PRODUCT_STOP_TIME>
<PRODUCT_URI>{scene.id}.SAFE</PRODUCT_URI>
<PROCESSING_LEVEL>Level-1C</PROCESSING_LEVEL>
<PRODUCT_TYPE>S2MSI1C</PRODUCT_TYPE>
<PROCESSING_BASELINE>{facts["baseline"]}</PROCESSING_BASELINE>
<GENERATION_TIME>{generated}</GENERATION_TIME>
<Datatake datatakeIdentifier="{facts["datatake_id"]}">
<SPACECRAFT_NAME>{_SPACECRAFT[facts["platform"]]}</SPACECRAFT_NAME>
<DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE>
<DATATAKE_SENSING_START>{start}</DATATAKE_SENSING_START>
<SENSING_ORBIT_NUMBER>{facts["relative_orbit"]}</SENSING_ORBIT_NUMBER>
<SENSING_ORBIT_DIRECTION>{facts["orbit_state"].upper()}</SENSING_ORBIT_DIRECTION>
</Datatake>
<Product_Organisation><Granule_List><Granule imageFormat="JPEG2000">
{images}
</Granule></Granule_List></Product_Organisation>
</Product_Info>
<Product_Image_Characteristics>
<Special_Values>
<SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
</Special_Values>
<Special_Values>
<SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
</Special_Values>
<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>
{listed if float(facts["baseline"]) >= 4 else ""}
<Reflectance_Conversion>
<U>1.0</U>
<Solar_Irradiance_List>
{irradiance}
</Solar_Irradiance_List>
</Reflectance_Conversion>
</Product_Image_Characteristics>
</n1:General_Info>
<n1:Quality_Indicators_Info>
<Cloud_Coverage_Assessment>{facts["cloud_pct"]}</Cloud_Coverage_Assessment>
</n1:Quality_Indicators_Info>
</n1:Level-1C_User_Product>
"""


def tile_xml(scene: SandboxScene) -> str:
    """`MTD_TL.xml` of a scene; angles are constant over the tile."""
    facts = scene.facts
    x, y = facts["origin"]
    sizes = "\n".join(
        f'<Size resolution="{r}"><NROWS>{109_800 // r}</NROWS><NCOLS>{109_800 // r}</NCOLS></Size>'
        f'<Geoposition resolution="{r}"><ULX>{x}</ULX><ULY>{y}</ULY>'
        f"<XDIM>{r}</XDIM><YDIM>-{r}</YDIM></Geoposition>"
        for r in (10, 20, 60)
    )
    incidence = "\n".join(
        f'<Mean_Viewing_Incidence_Angle bandId="{n}">'
        f'<ZENITH_ANGLE unit="deg">{facts["view_incidence"]}</ZENITH_ANGLE>'
        f'<AZIMUTH_ANGLE unit="deg">{facts["view_azimuth"]}</AZIMUTH_ANGLE>'
        "</Mean_Viewing_Incidence_Angle>"
        for n in range(13)
    )
    sun = _grid(90 - facts["sun_elevation"], "Zenith") + _grid(facts["sun_azimuth"], "Azimuth")
    south = facts["epsg"] >= 32700
    name = f"WGS84 / UTM zone {facts['epsg'] % 100}{'S' if south else 'N'}"
    uri = "https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-1C_Tile_Metadata.xsd"
    mask = f"GRANULE/{granule_folder(scene)}/QI_DATA/MSK_CLASSI_B00.jp2"
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-1C_Tile_ID xmlns:n1="{uri}">
<n1:General_Info>
<SENSING_TIME metadataLevel="Standard">{_time(scene.start)}</SENSING_TIME>
</n1:General_Info>
<n1:Geometric_Info>
<Tile_Geocoding metadataLevel="Brief">
<HORIZONTAL_CS_NAME>{name}</HORIZONTAL_CS_NAME>
<HORIZONTAL_CS_CODE>EPSG:{facts["epsg"]}</HORIZONTAL_CS_CODE>
{sizes}
</Tile_Geocoding>
<Tile_Angles metadataLevel="Standard">
<Sun_Angles_Grid>{sun}</Sun_Angles_Grid>
<Mean_Sun_Angle>
<ZENITH_ANGLE unit="deg">{90 - facts["sun_elevation"]}</ZENITH_ANGLE>
<AZIMUTH_ANGLE unit="deg">{facts["sun_azimuth"]}</AZIMUTH_ANGLE>
</Mean_Sun_Angle>
<Mean_Viewing_Incidence_Angle_List>
{incidence}
</Mean_Viewing_Incidence_Angle_List>
</Tile_Angles>
</n1:Geometric_Info>
<n1:Quality_Indicators_Info metadataLevel="Standard">
<Image_Content_QI>
<CLOUDY_PIXEL_PERCENTAGE>{facts["cloud_pct"]}</CLOUDY_PIXEL_PERCENTAGE>
<DEGRADED_MSI_DATA_PERCENTAGE>0</DEGRADED_MSI_DATA_PERCENTAGE>
</Image_Content_QI>
<Pixel_Level_QI geometry="FULL_RESOLUTION">
<MASK_FILENAME type="MSK_CLASSI">{mask}</MASK_FILENAME>
</Pixel_Level_QI>
</n1:Quality_Indicators_Info>
</n1:Level-1C_Tile_ID>
"""


def _image_stem(scene: SandboxScene) -> str:
    return f"T{scene.facts['mgrs_tile']}_{scene.facts['datatake_start']:%Y%m%dT%H%M%S}"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _grid(value: float, kind: str) -> str:
    """A 23 × 23 grid of angles at every 5 km."""
    row = "<VALUES>" + " ".join([f"{value:.6f}"] * 23) + "</VALUES>"
    return (
        f'<{kind}><COL_STEP unit="m">5000</COL_STEP><ROW_STEP unit="m">5000</ROW_STEP>'
        f"<Values_List>{row * 23}</Values_List></{kind}>"
    )
