use kube_core::CustomResourceExt;
