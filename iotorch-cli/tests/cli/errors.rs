//! What the verbs say when they cannot: typical mistakes, one record for each verb.

use crate::{home::Home, transcript::Transcript};

#[test]
fn what_cannot_be_done_is_said_with_the_way_out() {
    let home = Home::new();
    home.told(&["k8scluster", "create", "--name", "pc", "--driver", "local"]);
    home.told(&["iotslice", "create", "--name", "slice1", "--edge", "pc"]);
    home.write("iotorch.toml", "title = \"configuration of the prototype\"\n");
    for (verb, lines) in [
        (
            "k8scluster",
            &[
                ("iotorch k8scluster create --name pc --driver local", 4),
                (
                    "iotorch k8scluster create --name gke --driver nomad --ip=192.0.2.7 --k8scontext=gke --k8shelmport=44134",
                    3,
                ),
                ("iotorch k8scluster create --name No_Name", 3),
                ("iotorch k8scluster get --name gke", 3),
                ("iotorch k8scluster delete --name gke", 3),
                ("iotorch k8scluster delete --name pc", 4),
                ("iotorch k8scluster list --configfile=iotorch.toml", 3),
                ("iotorch k8scluster list --configfile=a --state b", 3),
            ][..],
        ),
        (
            "iotslice",
            &[
                ("iotorch iotslice create --name slice1", 4),
                ("iotorch iotslice create --name slice2 --edge pi --cloud pc", 3),
                ("iotorch iotslice get --name slice2", 3),
                ("iotorch iotslice delete --name slice2", 3),
            ],
        ),
        (
            "iotserver",
            &[
                ("iotorch iotserver create --name hub", 3),
                ("iotorch iotserver create --name hub --slice slice2", 3),
                ("iotorch iotserver create --name hub --slice slice1 --cluster gke", 3),
                ("iotorch iotserver create --name hub --slice slice1 --application mainflux", 3),
                ("iotorch iotserver create --name hub --slice slice1", 7),
                ("iotorch iotserver set --name hub --user u --password p", 3),
                ("iotorch iotserver get --name hub", 3),
                ("iotorch iotserver delete --name hub", 3),
            ],
        ),
        (
            "iotgateway",
            &[
                ("iotorch iotgateway create --name gw --slice slice1 --server hub", 3),
                ("iotorch iotgateway attach --name gw --server hub", 3),
                ("iotorch iotgateway delete --name gw --slice slice2", 3),
            ],
        ),
        (
            "iotdevice",
            &[
                ("iotorch iotdevice create --name dev --gateway gw --protocol MQTT", 3),
                ("iotorch iotdevice create --name dev --gateway gw --protocol ZIGBEE --resource t", 3),
                ("iotorch iotdevice create --name dev --gateway gw --resource t=number", 3),
                ("iotorch iotdevice create --name dev --gateway gw --resource t", 3),
                ("iotorch iotdevice get --name dev", 3),
                ("iotorch iotdevice list --slice slice2", 3),
            ],
        ),
        (
            "applying",
            &[
                ("iotorch apply", 3),
                ("iotorch apply -f nothing.yaml", 3),
                ("iotorch apply slice2", 3),
                ("iotorch apply --plan iotorch.toml", 3),
                ("iotorch plan", 3),
                ("iotorch delete slice2", 3),
                ("iotorch delete --infrastructure gke", 3),
                ("iotorch rotate slice2/pc/space/hub/app/tenant", 3),
                ("iotorch adopt slice2/pc/space", 3),
                ("iotorch resume r7", 3),
                ("iotorch forget gke --yes", 3),
            ],
        ),
        (
            "devices",
            &[
                ("iotorch send slice1 dev", 3),
                ("iotorch send slice2 dev t=1", 3),
                ("iotorch send slice1 dev t=1", 3),
                ("iotorch simulate slice2", 3),
                ("iotorch simulate slice1", 3),
                ("iotorch simulate slice1 --rate many", 3),
                ("iotorch command slice2 dev vent true", 3),
                ("iotorch command slice1 dev vent true", 3),
                ("iotorch logs slice1 gw", 3),
                ("iotorch gateway", 3),
                ("iotorch gateway --data-dir gw --config nothing.yaml", 3),
                ("iotorch server", 3),
            ],
        ),
        (
            "looking",
            &[
                ("iotorch status slice2", 3),
                ("iotorch describe slice2", 3),
                ("iotorch get slices slice2", 3),
                ("iotorch messages slice2", 3),
                ("iotorch credentials slice2", 3),
                ("iotorch credentials slice1 dev", 3),
                ("iotorch man --page no-such-verb", 3),
                ("iotorch completions csh", 3),
                ("iotorch state import nothing.json", 3),
                ("iotorch aply", 3),
            ],
        ),
    ] {
        let mut said = Transcript::new(&home);
        for (line, code) in lines {
            said.types(line, *code);
        }
        said.compare_with(&format!("errors_of_{verb}"));
    }
}
