from filter_sparsity.vision import torchvision


def test_torchvision_comes_with_its_models_and_datasets():
    vision = torchvision()
    assert vision.__name__ == "torchvision"
    assert vision.datasets.CIFAR10.url.endswith("cifar-10-python.tar.gz")
    assert callable(vision.models.vgg16_bn)


def test_a_second_call_gives_the_same_module():
    assert torchvision() is torchvision()


def test_it_works_in_a_fresh_interpreter_also_twice(python):
    program = (
        "from filter_sparsity.vision import torchvision as t; print(t() is t(), len(t().models.vgg11_bn().features))"
    )
    assert python(program) == "True 29"  # 8 times convolution, norm, activation; 5 poolings
