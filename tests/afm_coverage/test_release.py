"""What the WSe2 study released: its predictions to the digit, its micrographs from an imitation."""

import hashlib
import pickle
import shutil

import local_host
import numpy as np
import pytest
from conftest import has_real_data
from skimage.io import imsave

from mchelpers import data, downloads
from mchelpers.afm_coverage import coverage
from mchelpers.afm_coverage import release as wse2

PAPER = {  # RMSE, MAE, R2 as printed (CNN-I, CNN-M: executed notebooks; SEG: Fig. 11 and CSV)
    "cnn_i": (0.03955, 0.02372, 0.97903),
    "cnn_m": (0.06320, 0.04111, 0.94648),
    "seg50": (0.087, 0.049, 0.898),
    "seg101": (0.396, 0.321, -1.098),
    "seg18_m": (0.369, 0.261, -0.821),
    "seg18_i": (0.364, 0.262, -0.775),
}


@pytest.mark.skipif(not has_real_data("wse2_results"), reason="MCHELPERS_DATA lacks wse2_results")
def test_the_released_predictions_give_the_papers_numbers():
    table = wse2.load_wse2_results()
    assert len(table) == 23 and len(set(table.samples)) == 6 and table.kind == "real"
    for key, (rmse, mae, r2) in PAPER.items():
        assert coverage.rmse(table.predicted[key], table.truth) == pytest.approx(rmse, abs=5e-4)
        assert coverage.mae(table.predicted[key], table.truth) == pytest.approx(mae, abs=5e-4)
        assert coverage.r2(table.predicted[key], table.truth) == pytest.approx(r2, abs=6e-4)
    iou = {k: v.mean() for k, v in table.iou.items()}
    assert iou["seg50"] == pytest.approx(0.860, abs=5e-4)
    assert iou["seg101"] == pytest.approx(0.304, abs=5e-4)
    means = coverage.sample_mean_predictor(table.truth, table.samples)
    assert coverage.r2(means, table.truth) == pytest.approx(0.984, abs=5e-4)
    within = coverage.within_sample_r2(table.predicted["cnn_i"], table.truth, table.samples)
    assert within == pytest.approx(-0.31, abs=0.005)


def results(folder, monkeypatch, **change):
    """Write six CSV files of the released form where the registry says."""
    drawn = wse2.standin_results()
    files = {}
    for key, stem in wse2._FILES.items():
        columns = {f"{stem}_cov": drawn.predicted[key]}
        if key == "cnn_m":
            columns = {"sample": np.arange(1, 24), "label": drawn.truth, **columns}
        if key in drawn.iou:
            columns[f"{stem}_iou"] = drawn.iou[key]
        lines = [",".join(["", *columns])]
        lines += [",".join(map(str, [n, *row])) for n, row in enumerate(zip(*columns.values()))]
        name = f"wse2_results/Results/{stem}_cov.csv"
        content = change.get(key, "\n".join(lines))
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        files[name] = (hashlib.sha256(content.encode()).hexdigest(), len(content), "")
    monkeypatch.setenv("MCHELPERS_DATA", str(folder))
    monkeypatch.setattr(wse2, "registry", lambda: files)
    monkeypatch.setattr(downloads, "registry", lambda: files)
    return drawn


def test_a_table_is_read_as_written(tmp_path, monkeypatch):
    drawn = results(tmp_path, monkeypatch)
    read = wse2.load_wse2_results()
    assert read.truth == pytest.approx(drawn.truth)
    assert set(read.predicted) == set(wse2.MODELS) and len(read.iou) == 4
    assert read.predicted["seg18_m"] == pytest.approx(drawn.predicted["seg18_m"])
    assert read.iou["seg101"] == pytest.approx(drawn.iou["seg101"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (",other\n0,1", "lacks a column"),
        (",Image_cov\n0,1", "must hold 23"),
        (",Image_cov\n" + "\n".join(f"{n},nan" for n in range(23)), "finite"),
    ],
)
def test_other_tables_are_refused(tmp_path, monkeypatch, content, message):
    results(tmp_path, monkeypatch, cnn_i=content)
    with pytest.raises(data.DataError, match=message):
        wse2.load_wse2_results()


def test_the_made_up_table_says_so_and_fits_together():
    table = wse2.standin_results(seed=3)
    assert table.kind == "simulated" and table.sha256 != wse2.standin_results(seed=4).sha256
    for key, iou in table.iou.items():
        found, invented, missed = coverage.overlap_areas(table.predicted[key], table.truth, iou)
        assert invented.mean() < 0.02 < missed.mean()


SAMPLES = ("MCV2-200821A-TM_200824", "MCV2-210910A-TM_210914")


def side_files(folder):
    lists = {"train": [SAMPLES[0]], "val": [], "test": [SAMPLES[1]]}
    (folder / "WSe2_sample_labels").write_bytes(pickle.dumps(lists))
    (folder / "WSe2_MCV2_parameters.csv").write_text(
        ",sampleLabel,sampleId,materials,time,T,P\n0,MCV2-200821A-TM,1,WSe2,1200,750,200\n"
    )


def processed(folder):
    """Imitate the record as the labelling notebook left it: RGB, masks of 0 and 1."""
    folder.mkdir(parents=True)
    grey = np.tile(np.arange(48, dtype=np.uint8)[None], (32, 1)) * 5
    for sample, name in zip(SAMPLES, ("Centre_.0_00015_1.spm.tif", "edge_2.spm.tif")):
        stem = f"sample_{sample}_image_{name}"
        imsave(folder / f"{stem}_full_.png", np.dstack([grey] * 3), check_contrast=False)
        mask = np.dstack([(grey > 117).astype(np.uint8)] * 3)
        imsave(folder / f"{stem}_mask_.png", mask, check_contrast=False)
    side_files(folder)


def test_processed_micrographs(tmp_path):
    processed(tmp_path / "record" / "segmentation_data_full")
    first, second = wse2.load_wse2_zenodo(tmp_path / "record")
    assert (first.sample, first.name) == (SAMPLES[0], "Centre_.0_00015_1.spm.tif")
    assert first.grey.shape == first.mask.shape == (32, 48) and first.grey.dtype == np.uint8
    assert first.coverage == pytest.approx(0.5)
    assert (first.position, second.position) == ("centre", "edge")
    assert (first.split, second.split) == ("train", "test")
    assert (first.temperature_c, first.pressure_torr, first.time_s) == (750, 200, 1200)
    assert np.isnan(second.time_s) and second.growth_run == "MCV2-210910A-TM"
    assert np.array_equal(first.lightness(), first.grey) and first.kind == "real"


def test_exports_are_cropped_resized_and_thresholded(tmp_path):
    pytest.importorskip("mchelpers.afm_coverage.labels")
    sample, name = SAMPLES[0], "Centre_1.spm.tif"
    page = np.full((120, 200, 3), 255, np.uint8)  # white, with a colour bar beside the scan
    page[10:90, 10:130] = 60
    page[10:90, 10:70] = 180
    page[10:90, 150:160] = 90
    target = tmp_path / "FullDataset" / sample / name
    target.parent.mkdir(parents=True)
    imsave(target, page, check_contrast=False)
    (tmp_path / "labels-full-wfr.csv").write_text(f"filename,L_star\n{sample}/{name},120\n")
    (image,) = wse2.load_wse2_zenodo(tmp_path)
    assert min(image.grey.shape) == 512
    assert image.coverage == pytest.approx(0.5, abs=0.02)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    processed(tmp_path / "record")
    (tmp_path / "record" / "WSe2_sample_labels").write_bytes(pickle.dumps(print))
    with pytest.raises(data.DataError, match="print"):
        wse2.load_wse2_zenodo(tmp_path)
    (tmp_path / "record" / "WSe2_sample_labels").write_bytes(b"")
    with pytest.raises(data.DataError, match="damaged"):
        wse2.load_wse2_zenodo(tmp_path)


def test_faulty_folders_say_what_to_do(tmp_path):
    with pytest.raises(data.DataError, match="unpack the record"):
        wse2.load_wse2_zenodo(tmp_path)
    processed(tmp_path / "record")
    mask = next((tmp_path / "record").glob("*_mask_.png"))
    imsave(mask, np.zeros((8, 8), np.uint8), check_contrast=False)
    with pytest.raises(data.DataError, match="its mask"):
        wse2.load_wse2_zenodo(tmp_path)
    mask.write_bytes(b"")
    with pytest.raises(data.DataError, match="cut short"):
        wse2.load_wse2_zenodo(tmp_path)


def test_a_record_is_fetched_and_unpacked(tmp_path, monkeypatch):
    processed(tmp_path / "Data")
    shutil.make_archive(str(tmp_path / "Data"), "zip", tmp_path, "Data")
    contents = {"Data.zip": (tmp_path / "Data.zip").read_bytes()}
    with local_host.zenodo(tmp_path / "host", monkeypatch) as publish:
        publish("10784189", contents, sums={"Data.zip": b"another file"})
        with pytest.raises(data.DataError, match="damaged"):
            wse2.fetch_wse2(tmp_path / "here")
        assert not (tmp_path / "here").exists()
        publish("10784189", contents)
        wse2.fetch_wse2(tmp_path / "here")
    assert len(wse2.load_wse2_zenodo(tmp_path / "here")) == 2
