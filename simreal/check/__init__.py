"""The negative-transfer check: did transfer help, or would training on the target have been better?"""
