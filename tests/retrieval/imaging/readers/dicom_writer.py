"""DICOM series and segmentations as scanners and their software write them, made with pydicom and highdicom."""

import shutil

import numpy as np

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_series(folder, data, affine, *, series="1.2.3.4", description="T1", names=None, change=None):
    """Write one MR file a slice.

    Args:
        folder: to write to.
        data: (column, row, slice) integers.
        affine: (4, 4), those indices to RAS+ mm.
        names: of the files, by slice; shuffled numbers by default.
        change: called with each data set and its index before it is written.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    folder.mkdir(parents=True, exist_ok=True)
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    count = data.shape[2]
    if names is None:
        names = [f"IM{n:04d}" for n in np.random.default_rng(1).permutation(count)]
    for k in range(count):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = MRImageStorage
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = f"{series}.{k + 1}"
        image.SeriesInstanceUID, image.StudyInstanceUID, image.FrameOfReferenceUID = series, "1.2.3", "1.2.9"
        image.SeriesDescription, image.Modality, image.SeriesNumber = description, "MR", 3
        image.PatientID, image.PatientName, image.StudyID = "P", "P^P", "1"
        image.PatientBirthDate = image.PatientSex = image.AccessionNumber = image.ReferringPhysicianName = ""
        image.StudyDate, image.StudyTime, image.Manufacturer = "20200101", "120000", "none"
        image.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
        image.InstanceNumber = k + 1
        image.Rows, image.Columns = data.shape[1], data.shape[0]
        image.PixelSpacing = [f"{spacing[1]:.10g}", f"{spacing[0]:.10g}"]
        image.SliceThickness = f"{spacing[2]:.10g}"
        image.ImagePositionPatient = [f"{v:.8f}"[:16] for v in (lps @ [0, 0, k, 1])[:3]]
        image.ImageOrientationPatient = [f"{v:.10f}"[:16] for v in (lps[:3, :2] / spacing[:2]).T.ravel()]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
        image.PixelRepresentation = int(data.dtype.kind == "i")
        image.PixelData = np.ascontiguousarray(data[:, :, k].T).astype("<i2").tobytes()
        if change is not None:
            change(image, k)
        image.save_as(folder / names[k], enforce_file_format=True)


def write_enhanced(path, data, affine, order, *, index=True):
    """Write an enhanced MR file with all slices.

    Args:
        path: of the file.
        data: (column, row, slice) integers.
        affine: (4, 4), those indices to RAS+ mm.
        order: of the slices in the file.
        index: whether the frames' index values follow their positions, or their order in the file.
    """
    from pydicom import dcmread
    from pydicom.dataset import Dataset

    source = path.parent / "single"
    write_series(source, data, affine, names=[f"{k}" for k in range(data.shape[2])])
    slices = [dcmread(source / f"{k}") for k in range(data.shape[2])]
    shutil.rmtree(source)
    image = slices[0]
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    image.NumberOfFrames = len(order)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = image.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = image.PixelSpacing, image.SliceThickness
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    frames = []
    for at, k in enumerate(order):
        frame, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = list(slices[k].ImagePositionPatient)
        content.StackID, content.InStackPositionNumber = "1", int(k if index else at) + 1
        content.DimensionIndexValues = [1, content.InStackPositionNumber]
        frame.PlanePositionSequence, frame.FrameContentSequence = [position], [content]
        frames.append(frame)
    image.SharedFunctionalGroupsSequence, image.PerFrameFunctionalGroupsSequence = [shared], frames
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(image, name)
    image.PixelData = b"".join(np.ascontiguousarray(data[:, :, k].T).astype("<i2").tobytes() for k in order)
    image.save_as(path)


def write_segmentation(path, masks, affine, labels, *, kind="BINARY", omit_empty=True):
    """Write a DICOM-SEG.

    Args:
        path: of the file.
        masks: (column, row, slice, segment), booleans, or shares where `kind` is FRACTIONAL.
        affine: (4, 4), the first three indices to RAS+ mm.
        labels: of the segments.
    """
    import highdicom as hd
    from pydicom import dcmread
    from pydicom.sr.codedict import codes

    source = path.parent / "source"
    write_series(source, np.zeros(masks.shape[:3], np.int16), affine, series="1.2.77")
    slices = sorted((dcmread(file) for file in source.iterdir()), key=lambda image: image.InstanceNumber)
    for file in source.iterdir():
        file.unlink()
    source.rmdir()
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(labels, 1)
    ]
    hd.seg.Segmentation(
        source_images=slices,
        pixel_array=np.transpose(masks, (2, 1, 0, 3)).astype(np.float32 if kind == "FRACTIONAL" else np.uint8),
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid="1.2.88",
        series_number=9,
        sop_instance_uid="1.2.88.1",
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=omit_empty,
    ).save_as(path)
