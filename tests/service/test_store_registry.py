import shutil

from gliodex.service.store_registry import Shelf


def test_a_store_that_is_built_anew_at_its_place_is_noticed(make_store, small_atlas, ball):
    frame = small_atlas.frame
    middle = frame.world([s // 2 for s in frame.shape])
    one, other = (make_store(small_atlas, [ball(frame, middle, radius)]) for radius in (12, 18))
    shelf = Shelf({"s": str(one)})
    before = shelf["s"]
    shelf.refresh()
    assert shelf["s"] is before
    shutil.rmtree(one)
    shutil.copytree(other, one)
    shelf.refresh()
    after = shelf["s"]
    assert after.store.version == before.store.version
    assert (after.store.density(0) > 0).sum() > (before.store.frame.shape[0] // 4)
    assert after.store.manifest.digest != before.store.manifest.digest
    assert not shelf.faults
