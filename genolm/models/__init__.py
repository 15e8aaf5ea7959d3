"""Model architectures, registered with the Auto classes of transformers when this package is imported."""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from genolm.models.modeling_awd_lstm import (
    AwdLstmConfig,
    AwdLstmForCausalLM,
    AwdLstmForSequenceClassification,
    AwdLstmModel,
)

__all__ = [
    "AUTO_MAP",
    "AwdLstmConfig",
    "AwdLstmForCausalLM",
    "AwdLstmForSequenceClassification",
    "AwdLstmModel",
]

AutoConfig.register(AwdLstmConfig.model_type, AwdLstmConfig)
AutoModel.register(AwdLstmConfig, AwdLstmModel)
AutoModelForCausalLM.register(AwdLstmConfig, AwdLstmForCausalLM)
AutoModelForSequenceClassification.register(AwdLstmConfig, AwdLstmForSequenceClassification)

# What config.json of a published folder says: which class of the modeling file serves which Auto class.
AUTO_MAP = {
    "AutoConfig": "modeling_awd_lstm.AwdLstmConfig",
    "AutoModel": "modeling_awd_lstm.AwdLstmModel",
    "AutoModelForCausalLM": "modeling_awd_lstm.AwdLstmForCausalLM",
    "AutoModelForSequenceClassification": "modeling_awd_lstm.AwdLstmForSequenceClassification",
}
# With these, save_pretrained copies the modeling file into the folder and names its classes in config.json,
# so that the folder loads without genolm, given trust_remote_code=True.
AwdLstmConfig.register_for_auto_class()
AwdLstmModel.register_for_auto_class("AutoModel")
AwdLstmForCausalLM.register_for_auto_class("AutoModelForCausalLM")
AwdLstmForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
