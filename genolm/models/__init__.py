"""Model architectures, registered with the Auto classes of transformers when this package is imported."""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from genolm.models.modeling_awd_lstm import (
    AwdLstmConfig,
    AwdLstmForCausalLM,
    AwdLstmForSequenceClassification,
    AwdLstmModel,
)
from genolm.models.modeling_sequence_nets import SequenceNetConfig, SequenceNetForSequenceClassification

__all__ = [
    "AUTO_MAP",
    "AUTO_MAPS",
    "AwdLstmConfig",
    "AwdLstmForCausalLM",
    "AwdLstmForSequenceClassification",
    "AwdLstmModel",
    "SequenceNetConfig",
    "SequenceNetForSequenceClassification",
]

AutoConfig.register(AwdLstmConfig.model_type, AwdLstmConfig)
AutoModel.register(AwdLstmConfig, AwdLstmModel)
AutoModelForCausalLM.register(AwdLstmConfig, AwdLstmForCausalLM)
AutoModelForSequenceClassification.register(AwdLstmConfig, AwdLstmForSequenceClassification)
AutoConfig.register(SequenceNetConfig.model_type, SequenceNetConfig)
AutoModelForSequenceClassification.register(SequenceNetConfig, SequenceNetForSequenceClassification)

# What config.json of a published folder says: which class of the modeling file serves which Auto class.
AUTO_MAP = {
    "AutoConfig": "modeling_awd_lstm.AwdLstmConfig",
    "AutoModel": "modeling_awd_lstm.AwdLstmModel",
    "AutoModelForCausalLM": "modeling_awd_lstm.AwdLstmForCausalLM",
    "AutoModelForSequenceClassification": "modeling_awd_lstm.AwdLstmForSequenceClassification",
}
# The same for every model type that has a modeling file.
AUTO_MAPS = {
    AwdLstmConfig.model_type: AUTO_MAP,
    SequenceNetConfig.model_type: {
        "AutoConfig": "modeling_sequence_nets.SequenceNetConfig",
        "AutoModelForSequenceClassification": "modeling_sequence_nets.SequenceNetForSequenceClassification",
    },
}
# With these, save_pretrained copies the modeling file into the folder and names its classes in config.json,
# so that the folder loads without genolm, given trust_remote_code=True.
AwdLstmConfig.register_for_auto_class()
AwdLstmModel.register_for_auto_class("AutoModel")
AwdLstmForCausalLM.register_for_auto_class("AutoModelForCausalLM")
AwdLstmForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
SequenceNetConfig.register_for_auto_class()
SequenceNetForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
