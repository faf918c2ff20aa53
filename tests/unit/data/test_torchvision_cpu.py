from filter_sparsity.data.torchvision_cpu import torchvision


def test_torchvision_comes_with_its_models_and_datasets():
    vision = torchvision()
    assert vision.__name__ == "torchvision"
    assert vision.datasets.CIFAR10.url.endswith("cifar-10-python.tar.gz")
    assert callable(vision.models.vgg16_bn)


def test_a_second_call_gives_the_same_module():
    assert torchvision() is torchvision()
