//! MetalLB's ConfigMap `metallb-excludel2`: interfaces that announce nothing.

use k8s_openapi::api::core::v1::ConfigMap;
use lbnet::{Pattern, Selection};
use serde::Deserialize;

use super::{ObjectRef, Problem};

/// The name of the ConfigMap.
pub const NAME: &str = "metallb-excludel2";
/// The key of the text in its data.
pub const KEY: &str = "excludel2.yaml";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Text {
    #[serde(default)]
    announced_interfaces_to_exclude: Vec<String>,
}

/// Reads the ConfigMap: the interfaces that are left out, in place of those that are by default.
///
/// # Errors
/// Its text cannot be read, or an entry of it is no regular expression.
pub fn read(map: &ConfigMap) -> Result<Vec<Pattern>, Problem> {
    let object = ObjectRef::of(map);
    let path = format!("data.{KEY}");
    let problem = |message: String| Problem::new(&object, "InvalidConfigMap", path.as_str(), message);
    let Some(text) = map.data.as_ref().and_then(|data| data.get(KEY)) else {
        return Ok(Selection::default().left_out);
    };
    let text: Text = serde_saphyr::from_str(text).map_err(|error| {
        problem(format!("{error}; write announcedInterfacesToExclude with a list of patterns"))
    })?;
    let patterns = text.announced_interfaces_to_exclude.iter().enumerate().map(|(index, entry)| {
        Pattern::regex(entry)
            .map_err(|error| problem(format!("announcedInterfacesToExclude[{index}]: {error}")))
    });
    patterns.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> ConfigMap {
        let data = [(KEY.to_owned(), text.to_owned())].into();
        ConfigMap { data: Some(data), ..ConfigMap::default() }
    }

    #[test]
    fn the_list_is_read_as_regular_expressions() {
        let patterns = read(&map("announcedInterfacesToExclude: [\"^docker.*\", ^cali]\n")).unwrap();
        assert!(
            patterns.iter().any(|it| it.matches("docker0")) && patterns.iter().any(|it| it.matches("cali12"))
        );
        assert!(!patterns.iter().any(|it| it.matches("eth0")));
        assert_eq!(read(&map("{}")).unwrap(), []);
        assert_eq!(read(&ConfigMap::default()).unwrap(), Selection::default().left_out);
        for text in ["announcedInterfacesToExclude: [\"a(\"]", "announcedInterfacesToExclude: 7", "- x"] {
            assert!(read(&map(text)).unwrap_err().to_string().contains("data.excludel2.yaml"), "{text}");
        }
    }
}
